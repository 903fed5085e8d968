import { expect } from 'vitest'
import { compile, ops, Tensor, valueAndGrad } from '../../lib/index.ts'
import { deviation } from '../reference/deviation.ts'

/** f32 beside f64. */
export const tolerance = 2e-6
export type Named = Record<string, Tensor>

/** Instructions of the program, but for constants. */
export function instructionsOf(fn: (inputs: Named) => unknown, inputs: Named): string[] {
  using program = compile(fn)
  program.runSync(inputs)
  return program.instructions.filter((name) => name !== 'fill')
}
export const count = (instructions: readonly string[], name: string): number =>
  instructions.filter((n) => n === name).length
const tensorsOf = (value: unknown): Tensor[] =>
  value instanceof Tensor ? [value] : Object.values(value as object).flatMap(tensorsOf)

/** The program does these instructions and gives what the operations give one by one. */
export function expectRewritten(fn: (inputs: Named) => unknown, inputs: Named, instructions: string[]): void {
  expect(instructionsOf(fn, inputs)).toEqual(instructions)
  using program = compile(fn)
  const actual = tensorsOf(program.runSync(inputs))
  tensorsOf(fn(inputs)).forEach((expected, i) => {
    expect(actual[i]!.shape).toEqual(expected.shape)
    expect(deviation(actual[i]!.data(), expected.data())).toBeLessThan(tolerance)
  })
}

/** Gradients of the program agree with those of the same program in f64, which runs plain loops. */
export function expectGradients(
  loss: (inputs: Named) => Tensor,
  inputs: Named,
  expected: Record<string, number>,
): void {
  const gradients = (given: Named): { instructions: string[]; values: Tensor[] } => {
    const fn = (traced: Named) => valueAndGrad(() => loss(traced), traced)({})
    using program = compile(fn)
    return { values: tensorsOf(program.runSync(given)), instructions: [...program.instructions] }
  }
  const { instructions, values } = gradients(inputs)
  for (const [name, times] of Object.entries(expected)) expect([name, count(instructions, name)]).toEqual([name, times])
  const wide = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, ops.cast(x, 'f64')]))
  gradients(wide).values.forEach((value, i) =>
    expect(deviation(values[i]!.data(), value.data())).toBeLessThan(tolerance),
  )
}
