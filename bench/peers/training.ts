/**
 * A training step of nanoGPT's CPU configuration beside PyTorch's: the same work (forward, backward, clipping, AdamW), in
 * turns in one run, medians. `PY=<python with torch> npx tsx bench/peers/training.ts [--rounds 5] [--steps 40] [--json]`
 */
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { GPT } from '../../lib/index.ts'
import { native } from '../../lib/native/load.ts'
import { median, startPeer, type Peer } from './child.ts'
import { adamW, causalLM, constantRate, Trainer } from '../../lib/train/index.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '40' },
  },
})
const [rounds, steps] = [Number(values.rounds), Number(values.steps)]
const [context, batchSize, vocabSize] = [64, 12, 65]

const torch = (threads: number): Promise<Peer> =>
  startPeer(
    process.env['PY'] ?? 'python3',
    [fileURLToPath(new URL('torch_training.py', import.meta.url)), String(threads)],
    threads,
    'PyTorch did not run; set PY to a python that has torch',
  )

/** Waits first until PyTorch's threads have stopped spinning. */
async function ours(trainer: Trainer): Promise<number> {
  await setTimeout(300)
  const times: number[] = []
  for await (const event of trainer) {
    if (event.type === 'step') times.push((1000 * batchSize * context) / event.tokensPerSecond)
    if (times.length === steps) break
  }
  return median(times)
}

async function main(): Promise<void> {
  const tokens = Int32Array.from({ length: 100_000 }, (_, i) => Math.imul(i, 2654435761) >>> 16).map(
    (x) => x % vocabSize,
  )
  for (const threads of [1, 2]) {
    native.setThreads(threads)
    using model = new GPT({ vocabSize, layers: 4, heads: 4, hiddenSize: 128, context, bias: false, seed: 1 })
    using trainer = new Trainer(model, {
      task: causalLM({ train: tokens, context }),
      steps: 1e9,
      batchSize,
      optimizer: adamW({ beta1: 0.9, beta2: 0.99, weightDecay: 0.1 }),
      schedule: constantRate(1e-3),
    })
    const peer = await torch(threads)
    const { version } = peer
    const round = async (): Promise<number> => Number(await peer.ask(String(steps)))
    await round()
    await ours(trainer)
    const [heedful, pytorch]: [number[], number[]] = [[], []]
    for (let i = 0; i < rounds; i++) {
      heedful.push(await ours(trainer))
      pytorch.push(await round())
    }
    peer.end()
    const [a, b] = [median(heedful), median(pytorch)]
    const figures = {
      task: 'training step, nanoGPT CPU',
      threads,
      heedfulMs: a,
      pytorchMs: b,
      pytorch: version,
      faster: b / a,
    }
    process.stdout.write(
      values.json
        ? `${JSON.stringify(figures)}\n`
        : `${threads} thread${threads > 1 ? 's' : ' '}  heedful ${a.toFixed(2)} ms  PyTorch ${version} ${b.toFixed(2)} ms  ${(b / a).toFixed(2)} x\n`,
    )
  }
}

void main()
