import { ArgumentError, checkInteger, describe, nearest } from './errors.ts'
import { native } from './native/load.ts'

/** The limit of the addon's pool. */
const maxThreads = 1024

/** What the addon runs on. The settings are those of the process, shared by its worker threads. */
export const runtime = {
  /** The instruction set in use: the best one of this CPU unless `setIsa` or HEEDFUL_ISA said otherwise. */
  isa: (): string => native.isa(),

  /** Those that this CPU and this build can run, best first; `scalar` is always the last. */
  availableIsas: (): string[] => native.availableIsas(),

  /** Takes another instruction set, e.g. to compare. Throws ArgumentError for one that is not available. */
  setIsa(name: string): void {
    const available = native.availableIsas()
    if (available.includes(name)) return native.setIsa(name)
    const near = typeof name === 'string' ? nearest(name, available) : undefined
    throw new ArgumentError(
      `runtime.setIsa: ${describe(name)} is not available here; ${near ? `did you mean ${near}?` : `there are ${available.join(', ')}`}`,
    )
  },

  /** Threads that one program uses, the one that runs it included: all cores unless `setThreads` or HEEDFUL_THREADS said otherwise. */
  threads: (): number => native.threads(),

  setThreads(threads: number): void {
    native.setThreads(checkInteger('runtime.setThreads', 'threads', threads, 1, maxThreads))
  },

  /** Bytes of native memory that tensors and programs of this process hold now. */
  liveBytes: (): number => native.liveBytes(),

  /** What the CPU calls itself. */
  cpuName: (): string => native.cpuName(),
} as const
