import type { DType } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'

export interface InstructionProfile {
  readonly instruction: string
  readonly nanoseconds: number
  readonly calls: number
  /** Inputs, then outputs, with the rows of the latest run; undefined where one is absent. */
  readonly operands: readonly ({ readonly dtype: DType; readonly shape: Shape } | undefined)[]
}

/** What counts the time of its instructions. */
interface Profiled {
  setProfiling(on: boolean): void
  profile(): InstructionProfile[]
}

let collected: Set<Profiled> | undefined

/** @internal Tells that a program is about to run. */
export function noteRun(program: Profiled): void {
  if (!collected || collected.has(program)) return
  collected.add(program)
  program.setProfiling(true)
}

/**
 * @internal Runs `work` and gives the time of every instruction of each program that it ran, in the order of their first runs; also
 * of programs inside models and pipelines. Programs have to be alive when `work` is done. One at a time.
 */
export async function profileRuns(work: () => Promise<void>): Promise<InstructionProfile[][]> {
  const programs = new Set<Profiled>()
  const outer = collected
  collected = programs
  try {
    await work()
    return Array.from(programs, (program) => program.profile())
  } finally {
    collected = outer
    for (const program of programs) program.setProfiling(false)
  }
}
