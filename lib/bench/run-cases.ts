import { native } from '../native/load.ts'
import type { Case } from './case.ts'
import { Machine, type Peaks, type Placement } from './machine.ts'
import { runCase, type CaseResult } from './run-case.ts'

/** An instruction set and a number of threads, and what the machine can do at most with them. */
export interface Setting {
  readonly peaks: Peaks
  readonly placement?: Placement | undefined
}

export interface PlacedResult extends CaseResult {
  /** Where the threads were before and after, in words; `a → b` if they moved, twice. undefined for one thread. */
  readonly placement?: string | undefined
}

export type BenchEvent =
  | { readonly type: 'setting'; readonly setting: Setting }
  | { readonly type: 'start'; readonly case: Case; readonly index: number; readonly count: number }
  | { readonly type: 'result'; readonly result: PlacedResult }

export interface RunCasesOptions {
  readonly isas: readonly string[]
  readonly threads: readonly number[]
  /** Milliseconds for each case. */
  readonly time: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs every case with each instruction set and number of threads. Those of the process are set meanwhile, so nothing
 * else should run; they are put back at the end.
 */
export async function* runCases(cases: readonly Case[], options: RunCasesOptions): AsyncGenerator<BenchEvent> {
  const { isas, threads, time, signal } = options
  const before = { isa: native.isa(), threads: native.threads() }
  const count = cases.length * isas.length * threads.length
  let index = 0
  using machine = new Machine()
  try {
    for (const isa of isas)
      for (const n of threads) {
        native.setIsa(isa)
        native.setThreads(n)
        let placement = await machine.placement()
        yield { type: 'setting', setting: { peaks: await machine.peaks(signal), placement } }
        for (const given of cases) {
          signal?.throwIfAborted()
          yield { type: 'start', case: given, index: index++, count }
          const once = async (): Promise<PlacedResult> => {
            const before = placement
            const result = await runCase(given, { machine, time, signal })
            placement = await machine.placement()
            return { ...result, placement: movement(before, placement) }
          }
          let result = await once()
          // Threads that moved in between belong to no state: once more, and if they still move, that is said.
          if (hasMoved(result)) result = await once()
          yield { type: 'result', result }
        }
      }
  } finally {
    native.setIsa(before.isa)
    native.setThreads(before.threads)
  }
}

const hasMoved = ({ placement }: PlacedResult): boolean => placement?.includes('→') ?? false

function movement(before: Placement | undefined, after: Placement | undefined): string | undefined {
  return before?.state === after?.state ? after?.state : `${before?.state} → ${after?.state}`
}
