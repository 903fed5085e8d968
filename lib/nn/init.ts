import { ArgumentError, describe } from '../errors.ts'
import { Random } from '../tensor/random.ts'
import type { Shape } from '../tensor/shape.ts'
import { allocateMemory, Parameter } from '../tensor/tensor.ts'

/** Random numbers, or none. */
export type Initializer = Random | 'zeros'

/** What layers with weights take: where their first values come from. Same generator, same values. */
export interface Initialised {
  random?: Initializer | undefined
}

export function generatorOf(operation: string, { random }: Initialised): Initializer {
  if (random === undefined) return new Random(Math.random() * 2 ** 48)
  if (random !== 'zeros' && !(random instanceof Random))
    throw new ArgumentError(`${operation}: random should be a Random or 'zeros', got ${describe(random)}`)
  return random
}

let unbound = false

/** Runs `build`, whose layers get parameters without memory, for the values of a file to be bound to them. */
export function withoutValues<T>(build: () => T): T {
  unbound = true
  try {
    return build()
  } finally {
    unbound = false
  }
}

const zeros = (shape: Shape): Parameter<'f32'> =>
  new Parameter(shape, 'f32', unbound ? 'unbound' : allocateMemory('Parameter', shape, 'f32'))

function fillWith<P extends Parameter>(target: P, next: () => number): P {
  if (target.isUnbound) return target
  const data = target.data()
  for (let i = 0; i < data.length; i++) data[i] = next()
  return target
}

export const constant = (shape: Shape, value: number): Parameter<'f32'> => fillWith(zeros(shape), () => value)
export const normal = (shape: Shape, random: Initializer, std = 1): Parameter<'f32'> =>
  random === 'zeros' ? zeros(shape) : fillWith(zeros(shape), () => std * random.normal())
export const uniform = (shape: Shape, random: Initializer, bound: number): Parameter<'f32'> =>
  random === 'zeros' ? zeros(shape) : fillWith(zeros(shape), () => bound * (2 * random.uniform() - 1))

/**
 * Overwrites a parameter with normal numbers of the given standard deviation, in row-major order; `transposed`: in
 * column-major order, for a matrix that is kept the other way round to get the same numbers.
 */
export function fillNormal(target: Parameter, random: Initializer, std: number, transposed = false): void {
  if (transposed && random instanceof Random) {
    const [rows, columns] = target.shape as [number, number]
    const data = target.data()
    for (let j = 0; j < columns; j++) for (let i = 0; i < rows; i++) data[i * columns + j] = std * random.normal()
  } else fillWith(target, random === 'zeros' ? () => 0 : () => std * random.normal())
}
