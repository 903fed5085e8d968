import { Random } from '../tensor/random.ts'
import type { Shape } from '../tensor/shape.ts'
import { allocateMemory, Parameter } from '../tensor/tensor.ts'

/** What layers with weights take: where their first values come from. Same generator, same values. */
export interface Initialised {
  random?: Random | undefined
}

export const generatorOf = ({ random }: Initialised): Random => random ?? new Random(Math.random() * 2 ** 48)

function parameter(shape: Shape, next: () => number): Parameter<'f32'> {
  const result = new Parameter(shape, 'f32', allocateMemory('Parameter', shape, 'f32'))
  const data = result.data()
  for (let i = 0; i < data.length; i++) data[i] = next()
  return result
}

export const constant = (shape: Shape, value: number): Parameter<'f32'> => parameter(shape, () => value)
export const normal = (shape: Shape, random: Random, std = 1): Parameter<'f32'> =>
  parameter(shape, () => std * random.normal())
export const uniform = (shape: Shape, random: Random, bound: number): Parameter<'f32'> =>
  parameter(shape, () => bound * (2 * random.uniform() - 1))

/** Overwrites a parameter with normal numbers of the given standard deviation. */
export function fillNormal(target: Parameter, random: Random, std: number): void {
  const data = target.data()
  for (let i = 0; i < data.length; i++) data[i] = std * random.normal()
}
