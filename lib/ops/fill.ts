import { apply } from '../graph/apply.ts'
import type { TensorType } from '../graph/op.ts'
import type { Shape } from '../tensor/shape.ts'
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
  return apply(fillOp, [], { shape: [...shape], value, dtype })[0]!
}
