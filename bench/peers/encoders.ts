/**
 * Encoders beside onnxruntime-node: BERT-base and MiniLM with random weights, the same on both sides, hidden states of a batch
 * from token ids; in turns in one run, medians. README.md beside this tells how to install it.
 *
 *     npx tsx bench/peers/encoders.ts [--models minilm,bert-base] [--dtype f32,bf16,int8] [--cases 1x16,1x128] [--threads 1,2]
 *                                     [--rounds 5] [--time 300] [--peers <folder>] [--json]
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { AutoModel } from '../../lib/models/auto.ts'
import type { LoadDType } from '../../lib/models/weight-formats.ts'
import type { EncoderForTask } from '../../lib/models/encoder-for-task.ts'
import { native } from '../../lib/native/load.ts'
import { Random } from '../../lib/tensor/random.ts'
import { vocabSize, writeEncoder, type EncoderName } from '../random-models.ts'
import { median, startPeer, type Peer } from './child.ts'

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'minilm,bert-base' },
    dtype: { type: 'string', default: 'f32,bf16,int8' },
    cases: { type: 'string', default: '1x16,1x128,1x512,8x128' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '5' },
    time: { type: 'string', default: '300' },
    peers: { type: 'string', default: '.' },
    json: { type: 'boolean', default: false },
  },
})
const list = (text: string): string[] => text.split(',')
const [rounds, milliseconds] = [Number(values.rounds), Number(values.time)]

/** Until the threads of whoever was before have stopped spinning. */
const settle = (): Promise<void> => setTimeout(60)

const open = async (path: string, dtype: string): Promise<EncoderForTask> =>
  (await AutoModel.fromPretrained(path, { dtype: dtype as LoadDType, trainable: false })) as EncoderForTask

/** ‖a − b‖ / ‖b‖ */
function errorOf(a: Float32Array, b: Float32Array): number {
  let [difference, all] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    all += b[i]! ** 2
  }
  return Math.sqrt(difference / all)
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  const output = join(folder, 'hidden')
  try {
    for (const threads of list(values.threads).map(Number)) {
      native.setThreads(threads)
      const script = fileURLToPath(new URL('ort-encoder.ts', import.meta.url))
      const peer = await startPeer(
        'npx',
        ['tsx', script, String(threads), values.peers],
        threads,
        'onnxruntime-node did not run; see bench/peers/README.md',
      )
      for (const name of list(values.models) as EncoderName[]) {
        const path = join(folder, name)
        await writeEncoder(name, path)
        for (const dtype of list(values.dtype)) await compare(name, path, dtype, threads, peer)
      }
      peer.end()
    }
  } finally {
    await rm(folder, { recursive: true })
  }

  async function compare(name: string, path: string, dtype: string, threads: number, peer: Peer): Promise<void> {
    using model = await open(path, dtype)
    using exact = dtype === 'f32' ? undefined : await open(path, 'f32')
    for (const given of list(values.cases)) {
      const [batch, length] = given.split('x').map(Number) as [number, number]
      const random = new Random(7)
      const inputIds = Array.from({ length: batch }, () => Array.from({ length }, () => random.integer(vocabSize)))
      const theirs = dtype === 'int8' ? 'int8' : 'f32'
      const ask = async (fused: boolean): Promise<number> => {
        const request = { folder: path, dtype: theirs, fused, ids: inputIds.flat(), batch, milliseconds, output }
        return (JSON.parse(await peer.ask(JSON.stringify(request))) as { ms: number }).ms
      }
      const hiddenOf = async (from: EncoderForTask): Promise<Float32Array> => {
        using outputs = await from.run({ inputIds })
        return (outputs.lastHiddenState.data() as Float32Array).slice()
      }
      const [own, plain, fused]: number[][] = [[], [], []]
      for (let round = 0; round < rounds; round++) {
        await settle()
        own!.push(await timeOf(async () => (await model.run({ inputIds }))[Symbol.dispose]()))
        await settle()
        plain!.push(await ask(false))
        await settle()
        fused!.push(await ask(true))
      }
      const reference = await hiddenOf(exact ?? model)
      const bytes = await readFile(output)
      const made = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
      const best = Math.min(median(plain!), median(fused!))
      const result: Comparison & { isa: string } = {
        model: name,
        shape: given,
        dtype,
        threads,
        isa: native.isa(),
        ms: median(own!),
        error: exact ? errorOf(await hiddenOf(model), reference) : 0,
        peer: `onnxruntime-node ${peer.version} ${theirs}`,
        peerMs: best,
        peerError: errorOf(made, reference),
        ratio: best / median(own!),
      }
      console.log(values.json ? JSON.stringify(result) : lineOf(result))
    }
  }
}

interface Comparison {
  readonly model: string
  /** Batch x tokens. */
  readonly shape: string
  readonly dtype: string
  readonly threads: number
  readonly ms: number
  readonly error: number
  readonly peer: string
  readonly peerMs: number
  readonly peerError: number
  readonly ratio: number
}

function lineOf({ model, shape, dtype, threads, ms, error, peer, peerMs, peerError, ratio }: Comparison): string {
  const figure = (time: number, off: number): string =>
    `${time.toPrecision(4)} ms${off ? ` (error ${off.toExponential(1)})` : ''}`
  return `${model} ${shape} ${dtype}, ${threads} thread${threads > 1 ? 's' : ''}: ${figure(ms, error)}, ${peer} ${figure(peerMs, peerError)}, ${ratio.toFixed(2)} x`
}

async function timeOf(run: () => Promise<void>): Promise<number> {
  const times: number[] = []
  await run()
  for (const start = performance.now(); times.length < 3 || performance.now() - start < milliseconds;) {
    const from = performance.now()
    await run()
    times.push(performance.now() - from)
  }
  return median(times)
}

void main()
