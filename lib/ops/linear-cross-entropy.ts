import { ArgumentError, TraceError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'
import { multiply } from './elementwise.ts'

/** As crossEntropy numbers them, whose first one is 'none'. */
const reductions = ['mean', 'sum'] as const

export const linearCrossEntropyOp = defineOp({
  name: 'linearCrossEntropy',
  operands: [
    { name: 'hidden', kind: 'float', layout: 'rows' },
    { name: 'weight', kind: 'float', layout: 'rows' },
    { name: 'targets', kind: 'index', layout: 'contiguous' },
    { name: 'bias', kind: 'float', optional: true, layout: 'contiguous' },
  ],
  outputs: [
    { name: 'loss', layout: 'contiguous' },
    { name: 'gradHidden', optional: true, layout: 'contiguous' },
    { name: 'gradWeight', optional: true, layout: 'contiguous' },
    { name: 'gradBias', optional: true, layout: 'contiguous' },
  ],
  infer: ([hidden, weight, targets, bias]) => {
    checkRank('linearCrossEntropy', 'hidden', hidden!, 2)
    checkRank('linearCrossEntropy', 'weight', weight!, 2)
    const [rows, columns] = hidden!.shape as [number, number]
    const classes = weight!.shape[0]!
    checkShapeOf('linearCrossEntropy', 'weight', weight!, [classes, columns])
    checkShapeOf('linearCrossEntropy', 'targets', targets!, [rows])
    if (bias) checkShapeOf('linearCrossEntropy', 'bias', bias, [classes])
    return [like(hidden!, []), like(hidden!), like(weight!), like(hidden!, [classes])]
  },
  // The logits are gone when the backward pass comes: their gradients were taken while they were there.
  gradient: ({ inputs: [, , , bias], outputs: [, ...gradients], gradOutputs: [gradLoss, ...others], wanted }) => {
    if (others.some((g) => g !== undefined))
      throw new TraceError('grad: the gradient of linearCrossEntropy has none; use crossEntropy of a matmul instead')
    const scaled = (index: number): Tensor | undefined =>
      gradLoss && gradients[index] && multiply(gradients[index], gradLoss)
    return [
      wanted[0] ? scaled(0) : undefined,
      wanted[1] ? scaled(1) : undefined,
      undefined,
      bias && wanted[3] ? scaled(2) : undefined,
    ]
  },
  lowering: {
    kind: 'instruction',
    instruction: 'linearCrossEntropy',
    attributes: numbers('ignoreIndex', 'labelSmoothing', 'reduction'),
  },
})

export interface LinearCrossEntropyOptions {
  /** [classes]: added to the logits of each row. */
  bias?: Tensor
  /** Rows with this target count for nothing; −100 unless said. */
  ignoreIndex?: number
  /** As in crossEntropy. */
  labelSmoothing?: number
  /** 'mean' over the rows that count (NaN when there is none), unless said, or 'sum'. */
  reduction?: (typeof reductions)[number]
}

/**
 * crossEntropy(hidden · weightᵀ + bias, targets) with its gradients, in parts of the rows: the logits of all rows are
 * never stored. hidden [rows, columns], weight [classes, columns], targets i32 [rows]. For large vocabularies; a target
 * that is neither a class nor `ignoreIndex` is an error when it runs.
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  checkTensor('linearCrossEntropy', 'hidden', hidden)
  checkTensor('linearCrossEntropy', 'weight', weight)
  checkTensor('linearCrossEntropy', 'targets', targets)
  checkOptions('linearCrossEntropy', options, ['bias', 'ignoreIndex', 'labelSmoothing', 'reduction'])
  const { bias } = options
  if (bias !== undefined) checkTensor('linearCrossEntropy', 'bias', bias)
  const ignoreIndex = checkInteger(
    'linearCrossEntropy',
    'ignoreIndex',
    options.ignoreIndex ?? -100,
    -(2 ** 31),
    2 ** 31 - 1,
  )
  const labelSmoothing = checkNumber('linearCrossEntropy', 'labelSmoothing', options.labelSmoothing ?? 0, 0, 1)
  const reduction = 1 + reductions.indexOf(options.reduction ?? 'mean')
  if (reduction < 1)
    throw new ArgumentError(
      `linearCrossEntropy: reduction should be one of ${reductions.join(', ')}, got ${describe(options.reduction)}`,
    )
  return apply(linearCrossEntropyOp, [hidden, weight, targets, bias], { ignoreIndex, labelSmoothing, reduction })[0]!
}
