import { ArgumentError, ShapeError, TraceError, describe } from '../errors.ts'
import type { Attributes, OpDefinition, TensorType } from '../graph/op.ts'
import { activeTrace } from '../graph/trace.ts'
import { native } from '../native/load.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'

const definitions = new Map<string, OpDefinition>()

/** THE list of operations: tests, benchmarks and docs are derived from it. */
export const registry: ReadonlyMap<string, OpDefinition> = definitions

/** Adds an operation to the list. */
export function defineOp(definition: OpDefinition): OpDefinition {
  definitions.set(definition.name, definition)
  return definition
}

/** Where a function stands in one of the addon's lists of elementwise functions. */
export function functionIndex(list: 'unaryFunctions' | 'binaryFunctions' | 'reduceFunctions', name: unknown): number {
  return native[list].indexOf(name as string)
}

export const noAttributes = (): number[] => []

export const numbers =
  (...names: string[]) =>
  (attributes: Attributes): number[] =>
    names.map((name) => Number(attributes[name]))

/** Throws ArgumentError unless `value` is a tensor, DisposedError or TraceError if it can't be used (any more). */
export function checkTensor(operation: string, name: string, value: unknown): Tensor {
  if (!(value instanceof Tensor))
    throw new ArgumentError(`${operation}: ${name} should be a tensor, got ${describe(value)}; make one with tensor(…)`)
  if (value.isDisposed) value.memory(operation)
  if (value.isTraced && !activeTrace())
    throw new TraceError(
      `${operation}: ${name} is a tensor of a traced function, used outside of it; use it inside the function given to compile()`,
    )
  return value
}

export function checkRank(operation: string, name: string, { shape }: TensorType, min: number, max = min): void {
  if (shape.length < min || shape.length > max)
    throw new ShapeError(
      `${operation}: ${name} should have rank ${min === max ? min : `${min} to ${max}`}, got shape ${formatShape(shape)}`,
    )
}

export function checkShapeOf(operation: string, name: string, { shape }: TensorType, expected: Shape): void {
  if (shape.length !== expected.length || shape.some((d, i) => d !== expected[i]))
    throw new ShapeError(`${operation}: ${name} should have shape ${formatShape(expected)}, got ${formatShape(shape)}`)
}

/** The same type as the first of `types`. */
export const like = ({ shape, dtype }: TensorType, newShape: Shape = shape): TensorType => ({ shape: newShape, dtype })
