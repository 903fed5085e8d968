import { ArgumentError, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { TensorType } from '../graph/op.ts'
import { checkDType } from '../tensor/dtype.ts'
import { checkShape, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { defineOp } from './define-op.ts'

const fillOp = defineOp({
  name: 'fill',
  operands: [],
  outputs: [{ name: 'y' }],
  infer: (_, { shape, dtype }) => [{ shape: shape as Shape, dtype: dtype as TensorType['dtype'] }],
  lowering: { kind: 'instruction', instruction: 'fill', attributes: ({ value }) => [value as number] },
})

/** A tensor of one value: part of the program when traced. */
export function fill(shape: Shape, value: number, dtype: TensorType['dtype'] = 'f32'): Tensor {
  if (typeof value !== 'number') throw new ArgumentError(`fill: value should be a number, got ${describe(value)}`)
  return apply(fillOp, [], { shape: checkShape('fill', shape), value, dtype: checkDType('fill', dtype) })[0]!
}
