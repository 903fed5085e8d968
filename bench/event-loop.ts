/**
 * What a training and a generation leave of the event loop, and how soon an abort ends them: the delay of timers while
 * each runs for some seconds, and the time from `abort()` to the end of the run at random moments.
 * `npx tsx bench/event-loop.ts [--seconds 5] [--aborts 20] [--json]`
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { generate, GPT } from '../lib/index.ts'
import { runtime } from '../lib/runtime.ts'
import { Random } from '../lib/tensor/random.ts'
import { causalLM, constantRate, Trainer } from '../lib/train/index.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '5' },
    aborts: { type: 'string', default: '20' },
  },
})
const [seconds, aborts] = [Number(values.seconds), Number(values.aborts)]
const random = new Random(1)

/** Runs until the signal is aborted. */
type Work = (signal: AbortSignal) => Promise<void>

interface Size {
  vocabSize: number
  layers: number
  heads: number
  hiddenSize: number
  context: number
}

/** nanoGPT's configurations of characters for CPUs and for GPUs, and the wider one with the vocabulary of GPT-2. */
const small = { vocabSize: 65, layers: 4, heads: 4, hiddenSize: 128, context: 64 }
const large = { vocabSize: 65, layers: 6, heads: 6, hiddenSize: 384, context: 256 }
const manyWords = { ...large, vocabSize: 50257 }

/** A trainer is made for each run, as a program would: the first step includes tracing. */
function training(model: GPT, batchSize: number): Work {
  const { context, vocabSize } = model.config
  const train = Int32Array.from({ length: 100_000 }, () => random.integer(vocabSize))
  return async (signal) => {
    using trainer = new Trainer(model, {
      task: causalLM({ train, context }),
      steps: 1e9,
      batchSize,
      schedule: constantRate(1e-4),
      signal,
    })
    for await (const event of trainer) if (event.type === 'evaluation') return
  }
}

const generation =
  (model: GPT): Work =>
  async (signal) => {
    for await (const id of generate(model, [1, 2, 3], { maxNewTokens: 1e9, topK: 40, topP: 0.95, seed: 1, signal }))
      if (id < 0) return
  }

const ended = (run: Promise<void>): Promise<void> =>
  run.catch((error: unknown) => {
    if (!(error instanceof DOMException)) throw error
  })

const heartbeatMs = 5

/** Milliseconds: delays of the loop as perf_hooks sees them, and lateness of a timer of 5 ms. */
async function delays(work: Work): Promise<Record<'loop' | 'heartbeat', Spread>> {
  const controller = new AbortController()
  const lateness: number[] = []
  let before = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    lateness.push(Math.max(0, now - before - heartbeatMs))
    before = now
  }, heartbeatMs)
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  const run = ended(work(controller.signal))
  await setTimeout(seconds * 1000)
  histogram.disable()
  clearInterval(timer)
  controller.abort()
  await run
  const at = (percent: number): number => histogram.percentile(percent) * 1e-6
  return { loop: { p50: at(50), p99: at(99), max: histogram.max * 1e-6 }, heartbeat: spread(lateness) }
}

/** Milliseconds from the abort to the end, at random moments after the start. */
async function abortLatencies(work: Work): Promise<number[]> {
  const latencies: number[] = []
  for (let i = 0; i < aborts; i++) {
    const controller = new AbortController()
    const run = ended(work(controller.signal))
    await setTimeout(300 + 1500 * random.uniform())
    const start = performance.now()
    controller.abort()
    await run
    latencies.push(performance.now() - start)
  }
  return latencies
}

interface Spread {
  p50: number
  p99: number
  max: number
}
function spread(times: number[]): Spread {
  const sorted = times.sort((a, b) => a - b)
  const at = (fraction: number): number => sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1)! }
}

async function report(task: string, size: Size, workOf: (model: GPT) => Work): Promise<void> {
  using model = new GPT({ ...size, seed: 1 })
  const work = workOf(model)
  const { loop, heartbeat } = await delays(work)
  const { p50: median, max } = spread(await abortLatencies(work))
  const threads = runtime.threads()
  const figures = {
    task,
    ...size,
    parameters: model.parameterCount,
    threads,
    seconds,
    loop,
    heartbeat,
    abort: { median, max, aborts },
  }
  const ms = (time: number): string => time.toFixed(1).padStart(6)
  const line = ({ p50, p99, max: most }: Spread): string => `p50${ms(p50)}  p99${ms(p99)}  max${ms(most)} ms`
  const title = `${task}, GPT of ${size.layers} × ${size.hiddenSize}, context ${size.context}, vocabulary ${size.vocabSize}`
  process.stdout.write(
    values.json
      ? `${JSON.stringify(figures)}\n`
      : `${title}\n  event loop  ${line(loop)}\n  heartbeat   ${line(heartbeat)}\n  abort       median${ms(median)}  max${ms(max)} ms of ${aborts}\n`,
  )
}

async function main(): Promise<void> {
  await report('training', small, (model) => training(model, 12))
  await report('training', large, (model) => training(model, 16))
  await report('generation', small, generation)
  await report('generation', manyWords, generation)
}

void main()
