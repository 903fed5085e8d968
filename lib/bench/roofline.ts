/** The caches, and the memory behind them. */
export type Level = 'L1' | 'L2' | 'L3' | 'DRAM'

/** What is done once: useful operations, and the bytes that have to be moved at least. */
export interface Work {
  /** Floating-point operations; a multiply-add is two. */
  readonly flops: number
  readonly read: number
  readonly written: number
  /** Bytes that are read, and written again where they were: counted neither as read nor as written. */
  readonly updated: number
}

export const bytesMoved = ({ read, written, updated }: Work): number => read + written + 2 * updated

/** Bytes of memory that are touched. */
export const workingSetOf = ({ read, written, updated }: Work): number => read + written + updated

/** GB/s of one level: bytes read plus bytes written. */
export interface Bandwidths {
  readonly read: number
  readonly write: number
  readonly copy: number
  /** In place. */
  readonly update: number
}

export interface LevelPeaks extends Bandwidths {
  /** GFLOP/s. */
  readonly compute: number
}

/** What work can take at least, and because of what. */
export interface Roof {
  readonly bound: 'compute' | Level
  readonly ms: number
}

/**
 * The time below which no program gets on a machine with these peaks (Williams, Waterman & Patterson 2009):
 *   max(flops / compute, memory time)
 * Bytes written go with as many bytes read at the speed of a copy, for a line of a cache is read before it is written;
 * the rest is read or written at the speed of that alone, and so is what is updated in place.
 */
export function roofOf({ flops, read, written, updated }: Work, peaks: LevelPeaks, level: Level): Roof {
  const copied = Math.min(read, written)
  const compute = flops / peaks.compute
  const memory =
    (2 * copied) / peaks.copy +
    (read - copied) / peaks.read +
    (written - copied) / peaks.write +
    (2 * updated) / peaks.update
  // GFLOP/s and GB/s: operations and bytes per nanosecond.
  return compute >= memory ? { bound: 'compute', ms: compute * 1e-6 } : { bound: level, ms: memory * 1e-6 }
}

/** Rates of work that took so long: undefined where there is nothing to count. */
export function ratesOf(work: Work, ms: number): { gflops?: number; gbps?: number } {
  const [flops, bytes, nanoseconds] = [work.flops, bytesMoved(work), ms * 1e6]
  return { ...(flops > 0 && { gflops: flops / nanoseconds }), ...(bytes > 0 && { gbps: bytes / nanoseconds }) }
}
