import { describe, it } from 'vitest'
import { compile } from '../../lib/graph/compile.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { families } from './cases/index.ts'
import type { FloatType } from './case.ts'
import { sameBits, type Data } from './guarded-program.ts'
import { mismatch } from './rounding.ts'
import { forwardOf, gradientOf, type Subject } from './suite.ts'

describe.each(Object.entries(families))('%s: compiled with shared memory, and at once', (_, cases) => {
  it.each(cases)('$name', (given) => {
    for (const subject of [forwardOf(given), gradientOf(given)]) {
      if (!subject) continue
      compiledHasTheSameBits(subject)
      // A precision is compiled for.
      if (!given.precision) atOnceIsTheSame(subject)
    }
  })
})

function compiledHasTheSameBits(subject: Subject): void {
  using guarded = subject.program('f32')
  const expected = guarded.run(subject.data)
  using compiled = compile((inputs: Record<string, Tensor>) => subject.call(inputs, 'f32'), {
    precision: subject.precision,
  })
  using inputs = tensorsOf(subject, 'f32')
  for (const [i, result] of compiled.runSync(inputs.tensors).entries()) {
    if (!sameBits(result.data(), expected[i]!))
      throw new Error(`${subject.name}, result ${i}: other bits when compiled`)
    result.dispose()
  }
}

/** In f64: views are copied, fused operations are not, so that f32 rounds elsewhere. */
function atOnceIsTheSame(subject: Subject): void {
  using guarded = subject.program('f64')
  const results = guarded.run(subject.data)
  using inputs = tensorsOf(subject, 'f64')
  for (const [i, result] of subject.call(inputs.tensors, 'f64').entries()) {
    const problem = mismatch(result.data(), { expected: results[i]!, error: rounding(results[i]!) })
    if (problem) throw new Error(`${subject.name}, result ${i}, at once: ${problem}`)
  }
}

function rounding(expected: Data): Float64Array {
  const largest = Array.from(expected, Math.abs).reduce((max, x) => (Number.isFinite(x) ? Math.max(max, x) : max), 0)
  return new Float64Array(expected.length).fill(1e-12 * largest)
}

function tensorsOf({ inputs, data }: Subject, dtype: FloatType): Disposable & { tensors: Record<string, Tensor> } {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, kind }]) => [
      name,
      tensor(data[name]!, { shape, dtype: kind === 'i32' ? 'i32' : dtype }),
    ]),
  )
  return {
    tensors,
    [Symbol.dispose]: () => {
      for (const x of Object.values(tensors)) x.dispose()
    },
  }
}
