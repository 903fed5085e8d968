import { checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'

const dropoutOp = defineOp({
  name: 'dropout',
  operands: [
    { name: 'x', kind: 'float' },
    { name: 'seed', kind: 'index', layout: 'contiguous' },
  ],
  outputs: [{ name: 'y', inPlace: ['x'] }],
  infer: ([x, seed]) => {
    checkShapeOf('dropout', 'seed', seed!, [])
    return [like(x!)]
  },
  gradient: ({ inputs, gradOutputs, attributes }) => [
    apply(dropoutOp, [gradOutputs[0], inputs[1]], attributes)[0],
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'dropout', attributes: numbers('probability', 'stream') },
})

export interface DropoutOptions {
  /** The share of elements that become 0; from 0 up to, but not, 1. */
  probability: number
  /** i32 scalar. The same seed and stream drop the same elements, on any number of threads. */
  seed: Tensor
  /** Tells several dropouts under one seed apart. */
  stream?: number
}

/** Each element becomes 0 with the given probability, the others are scaled by 1/(1 − p) (Srivastava et al. 2014). */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  checkTensor('dropout', 'x', x)
  checkOptions('dropout', options, ['probability', 'seed', 'stream'])
  const probability = checkNumber('dropout', 'probability', options.probability, 0, 1 - 2 ** -24)
  const seed = checkTensor('dropout', 'seed', options.seed)
  const stream = checkInteger('dropout', 'stream', options.stream ?? 0, 0, 2 ** 31 - 1)
  return probability === 0 ? x : apply(dropoutOp, [x, seed], { probability, stream })[0]!
}
