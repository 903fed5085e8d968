import { afterEach, describe, it } from 'vitest'
import { runtime } from '../../lib/runtime.ts'
import { families } from './cases/index.ts'
import type { Case } from './case.ts'
import { sameBits, type Data } from './guarded-program.ts'
import { exactly, expectation, mismatch, type Expectation, type Tolerance } from './rounding.ts'
import { forwardOf, gradientOf, program, type Subject } from './suite.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterEach(() => {
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
    check(forwardOf(given), { ...given, ulps })
    const gradient = gradientOf(given)
    if (gradient) check(gradient, { ...given, exact: false, ulps: gradientUlps })
  })
})

function check(subject: Subject, tolerance: Tolerance & Pick<Case, 'exact'>): void {
  const expected = reference(subject, tolerance)
  using f32 = program(subject, 'f32')
  const first = new Map<string, Data[]>()
  for (const { threads, shift } of runs) {
    runtime.setThreads(threads)
    for (const isa of runtime.availableIsas()) {
      runtime.setIsa(isa)
      const results = f32.run(subject.data, shift)
      if (!first.has(isa)) first.set(isa, results)
      for (const [i, result] of results.entries()) {
        const problem =
          mismatch(result, expected[i]!) ??
          (sameBits(result, first.get(isa)![i]!) ? undefined : 'the bits are not those of one thread')
        if (problem)
          throw new Error(`${subject.name}, result ${i}, ${isa}, ${threads} threads, shifted by ${shift}: ${problem}`)
      }
    }
  }
}

function reference(subject: Subject, tolerance: Tolerance & Pick<Case, 'exact'>): Expectation[] {
  using f64 = program(subject, 'f64')
  return tolerance.exact ? exactly(f64, subject.data) : expectation(f64, subject.data, tolerance)
}
