import { ArgumentError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { TensorType } from '../graph/op.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'
import { linearCrossEntropyOp } from './linear-cross-entropy.ts'

const reductions = ['none', 'mean', 'sum'] as const
const attributes = numbers('ignoreIndex', 'labelSmoothing', 'reduction')

function lossType(logits: TensorType, reduction: unknown): TensorType {
  return like(logits, reduction === 0 ? logits.shape.slice(0, 1) : [])
}

const crossEntropyGradientOp = defineOp({
  name: 'crossEntropyGradient',
  operands: [
    { name: 'logits', kind: 'float', layout: 'rows' },
    { name: 'targets', kind: 'index', layout: 'contiguous' },
    { name: 'lse', kind: 'float', layout: 'contiguous' },
    { name: 'gradLoss', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [{ name: 'gradLogits', layout: 'rows', inPlace: ['logits'] }],
  infer: ([logits]) => [like(logits!)],
  lowering: { kind: 'instruction', instruction: 'crossEntropyGradient', attributes },
})

const crossEntropyOp = defineOp({
  name: 'crossEntropy',
  operands: [
    { name: 'logits', kind: 'float', layout: 'rows' },
    { name: 'targets', kind: 'index', layout: 'contiguous' },
  ],
  outputs: [
    { name: 'loss', layout: 'contiguous' },
    { name: 'lse', optional: true, layout: 'contiguous' },
  ],
  infer: ([logits, targets], { reduction }) => {
    checkRank('crossEntropy', 'logits', logits!, 2)
    checkShapeOf('crossEntropy', 'targets', targets!, logits!.shape.slice(0, 1))
    return [lossType(logits!, reduction), like(logits!, logits!.shape.slice(0, 1))]
  },
  gradient: ({ inputs: [logits, targets], outputs: [, lse], gradOutputs: [gradient], attributes: given }) => [
    apply(crossEntropyGradientOp, [logits, targets, lse, gradient], given)[0],
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'crossEntropy', attributes },
  variants: { ofProduct: linearCrossEntropyOp },
})

export interface CrossEntropyOptions {
  /** Rows with this target count for nothing; −100 unless said. */
  ignoreIndex?: number
  /** ε of Szegedy et al. 2016: the target gets 1 − ε + ε/V, every other class ε/V. */
  labelSmoothing?: number
  /** 'mean' over the rows that count (NaN when there is none), 'sum', or 'none': one loss per row. */
  reduction?: (typeof reductions)[number]
}

/**
 * −Σ_c q_c · ln softmax(logits)_c, without storing the softmax. Of a product with a transposed weight it becomes
 * linearCrossEntropy when it is compiled, where nothing else reads the logits. logits [rows, classes]; targets i32 [rows]. A target
 * that is neither a class nor `ignoreIndex` is an error when it runs.
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkTensor('crossEntropy', 'logits', logits)
  checkTensor('crossEntropy', 'targets', targets)
  checkOptions('crossEntropy', options, ['ignoreIndex', 'labelSmoothing', 'reduction'])
  const ignoreIndex = checkInteger('crossEntropy', 'ignoreIndex', options.ignoreIndex ?? -100, -(2 ** 31), 2 ** 31 - 1)
  const labelSmoothing = checkNumber('crossEntropy', 'labelSmoothing', options.labelSmoothing ?? 0, 0, 1)
  const reduction = reductions.indexOf(options.reduction ?? 'mean')
  if (reduction < 0)
    throw new ArgumentError(
      `crossEntropy: reduction should be one of ${reductions.join(', ')}, got ${describe(options.reduction)}`,
    )
  return apply(crossEntropyOp, [logits, targets], { ignoreIndex, labelSmoothing, reduction })[0]!
}
