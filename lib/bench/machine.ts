import { native } from '../native/load.ts'
import type { NativeStorage } from '../native/native.ts'
import type { Bandwidths, Level, LevelPeaks, Work } from './roofline.ts'

/** A cache, or the memory behind all of them. */
export interface MemoryLevel {
  readonly name: Level
  /** Bytes; Infinity for DRAM. Each core has its own L1 and L2. */
  readonly size: number
  readonly shared: boolean
}

const mebibyte = 2 ** 20
const page = 4096
/** Of a core of the last ten years, for systems that do not tell. */
const usualCaches = { L1: 32 * 1024, L2: mebibyte / 2, L3: 8 * mebibyte }

/** Those of this machine, nearest first. */
export function memoryLevels(told = native.cacheBytes()): MemoryLevel[] {
  const sizes = told.L1 ? told : usualCaches
  const caches = (['L1', 'L2', 'L3'] as const).map((name) => ({ name, size: sizes[name], shared: name === 'L3' }))
  return [...caches.filter(({ size }) => size > 0), { name: 'DRAM', size: Infinity, shared: true }]
}

/** The level that a working set of so many bytes, divided between the threads, streams from. */
export function levelOf(workingSet: number, threads: number, levels: readonly MemoryLevel[]): Level {
  return levels.find(({ size, shared }) => workingSet <= size * (shared ? 1 : threads))!.name
}

/** Bytes that each of the threads goes through to measure a level: clear of the next nearer one, and well inside. */
export function probeBytes(name: Level, threads: number, levels: readonly MemoryLevel[]): number {
  const sizeOf = (level: Level): number => levels.find((other) => other.name === level)?.size ?? 0
  const bytes = {
    L1: sizeOf('L1') / 2,
    L2: sizeOf('L2') / 2,
    // A cache that is shared with other machines holds less than it says.
    L3: Math.max(2 * sizeOf('L2'), Math.min(8 * mebibyte, sizeOf('L3') / (4 * threads))),
    DRAM: Math.min(1024 * mebibyte, Math.max(256 * mebibyte, 4 * sizeOf('L3'))) / threads,
  }
  return Math.max(page, Math.floor(bytes[name] / page) * page)
}

/** Where the threads are, as far as it can be measured: a system may move them at any moment. */
export interface Placement {
  /** Cores that the threads have to compute with: computing of all of them / computing of one. */
  readonly cores: number
  /** From one thread to another and back. */
  readonly handshakeNanoseconds: number
  /** In words, e.g. `one core (SMT siblings)`. */
  readonly state: string
}

/** Two threads of Zen 4: 36 ns on one core, 66 on cores that share a cache, 310 on others. */
const sharedCacheNanoseconds = 150
/** Longer than between any two cores: one of the threads did not run. */
const awayNanoseconds = 20_000

export function placementState(threads: number, cores: number, handshakeNanoseconds: number): string {
  if (handshakeNanoseconds > awayNanoseconds) return 'cores that other programs use'
  if (cores < 1.5) return threads === 2 ? 'one core (SMT siblings)' : `one core for ${threads} threads`
  const count = Math.round(cores) === 2 ? 'two' : String(Math.round(cores))
  const apart = handshakeNanoseconds > sharedCacheNanoseconds ? 'apart' : 'sharing a cache'
  return `${count} cores, ${apart}`
}

/** What this machine can do at most, in the instruction set and with the threads that are in use. */
export interface Peaks {
  readonly isa: string
  readonly threads: number
  /** GFLOP/s by format. */
  readonly compute: Readonly<Record<string, number>>
  /** GB/s by level. */
  readonly read: Readonly<Partial<Record<Level, number>>>
  readonly write: Readonly<Partial<Record<Level, number>>>
  /** GB/s by level, bytes read plus bytes written. */
  readonly copy: Readonly<Partial<Record<Level, number>>>
  /** The same in place. */
  readonly update: Readonly<Partial<Record<Level, number>>>
}

/** Measures this machine. Holds the memory that it measures with: dispose it. */
export class Machine implements Disposable {
  readonly levels = memoryLevels()
  #memory: NativeStorage | undefined

  /** GFLOP/s of a format, or elements a nanosecond of a function: the best of several, for interruptions only make it slower. */
  async compute(format: string): Promise<number> {
    return Math.max(...(await this.#measure(format, 8, 0)))
  }

  /** GB/s: the best of several. What neighbours leave of it changes slowly: it is to be measured again and again. */
  async bandwidth(kind: keyof Bandwidths, level: Level): Promise<number> {
    const threads = native.threads()
    const bytes = probeBytes(level, threads, this.levels)
    return Math.max(...(await this.#measure(kind, level === 'DRAM' ? 3 : 7, bytes)))
  }

  /** Those peaks that bound this work on data of this level; Infinity for the others. */
  async levelPeaks({ flops, read, written, updated }: Work, format: string, level: Level): Promise<LevelPeaks> {
    return {
      compute: flops > 0 ? await this.compute(format) : Infinity,
      read: read > written ? await this.bandwidth('read', level) : Infinity,
      write: written > read ? await this.bandwidth('write', level) : Infinity,
      copy: read > 0 && written > 0 ? await this.bandwidth('copy', level) : Infinity,
      update: updated > 0 ? await this.bandwidth('update', level) : Infinity,
    }
  }

  async peaks(signal?: AbortSignal): Promise<Peaks> {
    const peaks = {
      isa: native.isa(),
      threads: native.threads(),
      compute: {},
      read: {},
      write: {},
      copy: {},
      update: {},
    }
    const put = (group: Record<string, number>, name: string, figure: number): void => void (group[name] = figure)
    for (const format of native.computeFormats()) {
      signal?.throwIfAborted()
      put(peaks.compute, format, await this.compute(format))
    }
    for (const { name } of this.levels)
      for (const kind of ['read', 'write', 'copy', 'update'] as const) {
        signal?.throwIfAborted()
        put(peaks[kind], name, await this.bandwidth(kind, name))
      }
    return peaks
  }

  /** undefined for one thread. Sets the number of threads for a moment: nothing else should run. */
  async placement(): Promise<Placement | undefined> {
    const threads = native.threads()
    if (threads === 1) return undefined
    const all = await this.compute('f32')
    native.setThreads(1)
    try {
      const cores = all / (await this.compute('f32'))
      // Whatever interrupts makes it longer.
      const handshakeNanoseconds = Math.min(...(await this.#measure('handshake', 5, 0)))
      return { cores, handshakeNanoseconds, state: placementState(threads, cores, handshakeNanoseconds) }
    } finally {
      native.setThreads(threads)
    }
  }

  dispose(): void {
    this.#memory?.dispose()
    this.#memory = undefined
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  #measure(name: string, samples: number, workingSet: number): Promise<Float64Array> {
    const bytes = workingSet * native.threads()
    if (bytes > (this.#memory?.byteLength ?? 0)) {
      this.dispose()
      this.#memory = new native.Storage(bytes)
    }
    const memory = bytes ? [this.#memory!] : []
    return new Promise((resolve, reject) =>
      native.measure(name, samples, memory, workingSet, (error, figures) => (error ? reject(error) : resolve(figures))),
    )
  }
}
