import type { DType } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import type { Operand } from './elementwise.ts'
import * as ops from './index.ts'

/** Operations of one tensor, or of a tensor and an operand: the methods that tensors get. */
const unary = [
  'negate',
  'absolute',
  'square',
  'squareRoot',
  'reciprocal',
  'exp',
  'log',
  'relu',
  'gelu',
  'silu',
  'sigmoid',
  'tanh',
] as const
const binary = ['add', 'subtract', 'multiply', 'divide', 'power', 'maximum', 'minimum'] as const

declare module '../tensor/tensor.ts' {
  interface Tensor<D extends DType = DType>
    extends
      Record<(typeof unary)[number], () => Tensor<D>>,
      Record<(typeof binary)[number], (other: Operand) => Tensor<D>> {
    matmul(other: Tensor | ops.QuantizedMatrix, options?: ops.MatmulOptions): Tensor
    softmax(options?: ops.SoftmaxOptions): Tensor
    sum(options?: ops.ReduceOptions): Tensor
    mean(options?: ops.ReduceOptions): Tensor
    max(options?: ops.ReduceOptions): Tensor
    min(options?: ops.ReduceOptions): Tensor
    reshape(shape: Shape): Tensor
    transpose(axes?: readonly number[]): Tensor
    slice(axis: number, start: number, end?: number): Tensor
    cast(dtype: DType): Tensor
  }
}

const names = [
  ...unary,
  ...binary,
  'matmul',
  'softmax',
  'sum',
  'mean',
  'max',
  'min',
  'reshape',
  'transpose',
  'slice',
  'cast',
] as const

for (const name of names) {
  const op = ops[name] as (x: Tensor, ...rest: unknown[]) => Tensor
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return op(this, ...rest)
    },
    writable: true,
    configurable: true,
  })
}
