import { describe, it } from 'vitest'
import { compile } from '../../lib/graph/compile.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { families } from './cases/index.ts'
import { sameBits, type Data } from './guarded-program.ts'
import { forwardOf, gradientOf, program, type Subject } from './suite.ts'

describe.each(Object.entries(families))('%s: the same bits compiled, with shared memory, and at once', (_, cases) => {
  it.each(cases)('$name', (given) => {
    for (const subject of [forwardOf(given), gradientOf(given)]) {
      if (!subject) continue
      using guarded = program(subject, 'f32')
      const expected = guarded.run(subject.data)
      using compiled = compile((inputs: Record<string, Tensor>) => subject.call(inputs, 'f32'))
      compare(compiled.runSync(tensorsOf(subject)), expected, `${subject.name}, compiled`)
      compare(subject.call(tensorsOf(subject), 'f32'), expected, `${subject.name}, at once`)
    }
  })
})

function tensorsOf({ inputs, data }: Subject): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, tensor(data[name]!, { shape })]))
}

function compare(results: readonly Tensor[], expected: readonly Data[], told: string): void {
  results.forEach((result, i) => {
    if (!sameBits(result.data(), expected[i]!)) throw new Error(`${told}: result ${i} has other bits`)
  })
}
