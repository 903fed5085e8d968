import { Bench, type FnReturnedObject } from 'tinybench'

/** A statistic of durations, in milliseconds. */
export interface Sampled {
  readonly median: number
  /** Median absolute deviation / median. */
  readonly spread: number
  readonly samples: number
}

export interface SampleOptions {
  /** Milliseconds to sample for, warm-up excluded. */
  readonly time: number
  readonly signal?: AbortSignal | undefined
  /** Called before the first call, and about `probes` times in between; its time does not count. */
  readonly probe?: (() => Promise<void>) | undefined
  /** Milliseconds: for tests. */
  readonly now?: (() => number) | undefined
}

const fewestSamples = 5
const probes = 4

/**
 * Calls `fn` again and again, at least five times. `fn` may give its duration itself, as tinybench has it:
 * `{ overriddenDuration, overriddenIterationCost }`. Rejects with the signal's reason, and with what `fn` throws.
 */
export async function sample(fn: () => unknown | FnReturnedObject, options: SampleOptions): Promise<Sampled> {
  const { time, signal, probe, now = () => performance.now() } = options
  signal?.throwIfAborted()
  const bench = new Bench({
    time,
    iterations: fewestSamples,
    warmupTime: time / 10,
    warmupIterations: 1,
    now,
    throws: true,
    // tinybench leaves its listeners on the signal that it gets.
    ...(signal && { signal: AbortSignal.any([signal]) }),
  })
  let probedAt = -Infinity
  const beforeEach = async (): Promise<void> => {
    if (now() - probedAt < time / probes) return
    await probe?.()
    probedAt = now()
  }
  bench.add('sample', fn, { async: true, ...(probe && { beforeEach }) })
  try {
    await bench.run()
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
  signal?.throwIfAborted()
  const { result } = bench.tasks[0]!
  if (result.state !== 'completed') throw new Error(`sample: unexpectedly ${result.state}`)
  const { p50: median, mad, samplesCount } = result.latency
  return { median, spread: median > 0 ? mad / median : 0, samples: samplesCount }
}
