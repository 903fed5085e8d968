import { ArgumentError, checkNumber, checkOptions, describe } from '../errors.ts'
import { native } from '../native/load.ts'
import type { Subject } from './case.ts'
import { levelOf, Machine } from './machine.ts'
import { bytesMoved, ratesOf, roofOf, workingSetOf, type Level, type LevelPeaks, type Work } from './roofline.ts'
import { sample } from './sample.ts'

export interface BenchOptions {
  /** Useful floating-point operations of one call; a multiply-add is two. */
  flops?: number
  /**
   * Bytes that one call has to move at least; a number: all of them are read. `updated` are read, and written again where
   * they were; they count neither as read nor as written.
   */
  bytes?: number | { read?: number; written?: number; updated?: number }
  /**
   * Bytes that come by again and again, by which the level of memory is chosen that they stream from; all that one call
   * moves unless said. More when calls take turns with their data.
   */
  workingSet?: number
  /** The format that it computes in: f32 unless said. */
  dtype?: string
  /** Milliseconds to sample for: 500 unless said. */
  time?: number
  signal?: AbortSignal
  /** Measures the peaks; a program that benches more than one function shares it. */
  machine?: Machine
}

export interface BenchResult {
  readonly name: string
  readonly dtype: string
  readonly isa: string
  readonly threads: number
  /** The median of the samples, milliseconds. */
  readonly ms: number
  /** Their median absolute deviation / median. */
  readonly spread: number
  readonly samples: number
  /** GFLOP/s, where `flops` were given. */
  readonly gflops?: number
  /** GB/s, where `bytes` were given. */
  readonly gbps?: number
  /** What it can not be faster than: arithmetic, or the level that its data streams from. */
  readonly bound?: 'compute' | Level
  /** Fraction of the peak that bounds it: the least time that this machine needs / `ms`. */
  readonly roofline?: number
  /** Of cases that tell what is exact: √(Σ (y − exact)² / Σ exact²) over a sample of the elements, exact in double precision. */
  readonly error?: number
}

const known = ['flops', 'bytes', 'workingSet', 'dtype', 'time', 'signal', 'machine']

/**
 * Times a function, synchronous or not, and compares it with what this machine can do at most, with the instruction set
 * and the number of threads in use (`runtime`). The peaks are measured in between, in the same breath as the function.
 *
 *     const { ms, gflops, roofline } = await bench('dot', () => dot(a, b), { flops: 2 * n, bytes: 8 * n })
 *
 * Rejects with ArgumentError for options that make no sense, with the signal's reason, and with what the function throws.
 */
export async function bench(name: string, fn: () => unknown, options: BenchOptions = {}): Promise<BenchResult> {
  if (typeof fn !== 'function') throw new ArgumentError(`bench: expected a function, got ${describe(fn)}`)
  checkOptions('bench', options, known)
  const { dtype = 'f32', time = 500, signal } = options
  const formats = native.computeFormats()
  if (!formats.includes(dtype))
    throw new ArgumentError(
      `bench: dtype should be one that ${native.isa()} computes in (${formats.join(', ')}), got ${describe(dtype)}`,
    )
  checkNumber('bench', 'time', time, 0)
  const work = workOf(options)
  const workingSet = checkNumber('bench', 'workingSet', options.workingSet ?? workingSetOf(work), 0)
  const ours = options.machine ? undefined : new Machine()
  try {
    return await benchWork(name, fn, { ...work, workingSet, dtype, time, signal, machine: options.machine ?? ours! })
  } finally {
    ours?.dispose()
  }
}

function workOf({ flops = 0, bytes = 0 }: BenchOptions): Work {
  const given = typeof bytes === 'object' && bytes !== null ? bytes : { read: bytes }
  checkOptions('bench', given, ['read', 'written', 'updated'])
  const { read = 0, written = 0, updated = 0 } = given
  for (const [name, value] of Object.entries({
    flops,
    bytes: read,
    'bytes.written': written,
    'bytes.updated': updated,
  }))
    checkNumber('bench', name, value, 0)
  return { flops, read, written, updated }
}

export interface Benched extends Work {
  readonly workingSet: number
  readonly dtype: string
  /** The format whose peak is its roof: `dtype` unless said. */
  readonly compute?: string
  /** In its place a function: see `Subject`. */
  readonly function?: Subject['function']
  readonly time: number
  readonly signal?: AbortSignal | undefined
  readonly machine: Pick<Machine, 'levels' | 'levelPeaks'>
  readonly now?: () => number
}

/** `bench` after its checks. */
export async function benchWork(name: string, fn: () => unknown, benched: Benched): Promise<BenchResult> {
  const { dtype, function: f, compute = f?.name ?? dtype, time, signal, machine, now } = benched
  const threads = native.threads()
  const level = levelOf(benched.workingSet, threads, machine.levels)
  const counted = benched.flops + bytesMoved(benched) > 0
  const seen: LevelPeaks[] = []
  const probe = async (): Promise<void> => void seen.push(await machine.levelPeaks(benched, compute, level))
  const { median: ms, ...rest } = await sample(fn, { time, signal, now, probe: counted ? probe : undefined })
  const figures = { name, dtype, isa: native.isa(), threads, ms, ...rest }
  if (!counted) return figures
  const roof = roofOf(f ? { ...benched, flops: f.elements } : benched, medianPeaks(seen), level)
  return { ...figures, ...ratesOf(benched, ms), bound: roof.bound, roofline: roof.ms / ms }
}

function medianPeaks(seen: readonly LevelPeaks[]): LevelPeaks {
  const of = (peak: keyof LevelPeaks): number =>
    seen.map((peaks) => peaks[peak]).toSorted((a, b) => a - b)[seen.length >> 1]!
  return { compute: of('compute'), read: of('read'), write: of('write'), copy: of('copy'), update: of('update') }
}
