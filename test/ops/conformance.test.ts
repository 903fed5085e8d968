import { afterAll, describe, it } from 'vitest'
import { runtime } from '../../lib/runtime.ts'
import { families } from './cases/index.ts'
import type { Case } from './case.ts'
import { sameBits, type Data, type GuardedProgram } from './guarded-program.ts'
import { exactly, expectation, mismatch, type Expectation, type Tolerance } from './rounding.ts'
import { forwardOf, gradientOf, type Subject } from './suite.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterAll(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

/** Threads, and how many elements after a cache line the buffers begin. Neither may change a bit. */
const runs = [
  { threads: 1, shift: 0 },
  { threads: 2, shift: 1 },
  { threads: 3, shift: 3 },
]

describe.each(Object.entries(families))('%s: f32 on every instruction set against f64', (_, cases) => {
  it.each(cases)('$name', (given) => {
    const { ulps = 8, gradientUlps = ulps } = given
    const gradient = gradientOf(given)
    using forwardCheck = new Check(forwardOf(given), { ...given, ulps })
    using gradientCheck = gradient && new Check(gradient, { ...given, exact: false, ulps: gradientUlps })
    for (const { threads, shift } of runs) {
      runtime.setThreads(threads)
      for (const isa of runtime.availableIsas()) {
        runtime.setIsa(isa)
        const factor = given.coarser?.[isa]
        const problem = forwardCheck.problem(isa, shift, factor) ?? gradientCheck?.problem(isa, shift, factor)
        if (problem) throw new Error(`${isa}, ${threads} threads, shifted by ${shift}: ${problem}`)
      }
    }
  })
})

/** A subject in f32 beside what it should give. */
class Check implements Disposable {
  readonly #subject: Subject
  readonly #expected: readonly Expectation[]
  readonly #program: GuardedProgram
  /** The first results of each instruction set. */
  readonly #first = new Map<string, Data[]>()

  constructor(subject: Subject, tolerance: Tolerance & Pick<Case, 'exact'>) {
    this.#subject = subject
    using f64 = subject.program('f64')
    this.#expected = tolerance.exact ? exactly(f64, subject.data) : expectation(f64, subject.data, tolerance)
    this.#program = subject.program('f32')
  }

  problem(isa: string, shift: number, factor?: number): string | undefined {
    const results = this.#program.run(this.#subject.data, shift)
    const first = this.#first.get(isa) ?? results
    this.#first.set(isa, first)
    for (const [i, result] of results.entries()) {
      const problem =
        mismatch(result, this.#expected[i]!, factor) ??
        (sameBits(result, first[i]!) ? undefined : 'the bits are not those of one thread')
      if (problem) return `${this.#subject.name}, result ${i}: ${problem}`
    }
    return undefined
  }

  [Symbol.dispose](): void {
    this.#program.dispose()
  }
}
