import { checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { OpDefinition } from '../graph/op.ts'
import { checkAxis } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp, like } from './define-op.ts'
import { transpose } from './view.ts'

function define(name: string, log: boolean): OpDefinition {
  const gradientOp = defineOp({
    name: `${name}Gradient`,
    operands: [
      { name: 'y', kind: 'float', layout: 'rows' },
      { name: 'gradOutput', kind: 'float', layout: 'rows' },
    ],
    outputs: [{ name: 'gradInput', layout: 'rows', inPlace: ['gradOutput'] }],
    infer: ([y]) => [like(y!)],
    lowering: { kind: 'instruction', instruction: 'softmaxGradient', attributes: () => [log ? 1 : 0] },
  })
  return defineOp({
    name,
    operands: [{ name: 'x', kind: 'float', layout: 'rows' }],
    outputs: [{ name: 'y', layout: 'rows', inPlace: ['x'] }],
    infer: ([x]) => {
      checkRank(name, 'x', x!, 1, 6)
      return [like(x!)]
    },
    gradient: ({ outputs, gradOutputs }) => [apply(gradientOp, [outputs[0], gradOutputs[0]])[0]],
    lowering: { kind: 'instruction', instruction: 'softmax', attributes: () => [log ? 1 : 0] },
  })
}

const softmaxOp = define('softmax', false)
const logSoftmaxOp = define('logSoftmax', true)

export interface SoftmaxOptions {
  /** The axis along which the results add up to 1; the last one unless said. */
  axis?: number
}

function along(definition: OpDefinition, x: Tensor, options: SoftmaxOptions): Tensor {
  checkTensor(definition.name, 'x', x)
  checkOptions(definition.name, options, ['axis'])
  const axis = checkAxis(definition.name, options.axis ?? -1, x.rank)
  const last = x.rank - 1
  if (axis === last) return apply(definition, [x])[0]!
  const swap = x.shape.map((_, i) => (i === axis ? last : i === last ? axis : i))
  return transpose(apply(definition, [transpose(x, swap)])[0]!, swap)
}

/** e^{xᵢ} / Σⱼ e^{xⱼ} along an axis. −∞ gives 0. */
export const softmax = (x: Tensor, options: SoftmaxOptions = {}): Tensor => along(softmaxOp, x, options)

/** xᵢ − ln Σⱼ e^{xⱼ} along an axis. */
export const logSoftmax = (x: Tensor, options: SoftmaxOptions = {}): Tensor => along(logSoftmaxOp, x, options)
