import { ArgumentError, checkNumber, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'
import { add, divide, minimum } from './elementwise.ts'
import { fill } from './fill.ts'

const adamWOp = defineOp({
  name: 'adamWStep',
  operands: [
    { name: 'gradient', kind: 'float', layout: 'contiguous' },
    { name: 'learningRate', kind: 'float', layout: 'contiguous' },
    { name: 'step', kind: 'index', layout: 'contiguous' },
    { name: 'gradientScale', kind: 'float', optional: true, layout: 'contiguous' },
    // Given by a rewrite only: the gradient is that of an embedding, as rows (see embedding.ts).
    { name: 'slots', kind: 'index', optional: true, layout: 'contiguous' },
    { name: 'parameter', kind: 'float', layout: 'contiguous' },
    { name: 'm', kind: 'float', layout: 'contiguous' },
    { name: 'v', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [
    { name: 'newParameter', updates: 'parameter' },
    { name: 'newM', updates: 'm' },
    { name: 'newV', updates: 'v' },
  ],
  infer: ([gradient, learningRate, step, gradientScale, , parameter, m, v]) => {
    for (const [name, scalar] of [
      ['learningRate', learningRate],
      ['step', step],
      ['gradientScale', gradientScale],
    ] as const)
      if (scalar) checkShapeOf('adamWStep', name, scalar, [])
    for (const [name, x] of [
      ['gradient', gradient],
      ['m', m],
      ['v', v],
    ] as const)
      checkShapeOf('adamWStep', name, x!, parameter!.shape)
    return [like(parameter!), like(parameter!), like(parameter!)]
  },
  lowering: {
    kind: 'instruction',
    instruction: 'adamW',
    attributes: numbers('beta1', 'beta2', 'epsilon', 'weightDecay'),
  },
  commits: true,
})

export interface AdamWStep {
  gradient: Tensor
  /** Exponential means of the gradient and of its square; start with zeros. Updated in place. */
  m: Tensor
  v: Tensor
  /** f32 scalar. */
  learningRate: Tensor
  /** i32 scalar, 1 for the first step. */
  step: Tensor
  /** The gradient is multiplied by this scalar first (clipping). */
  gradientScale?: Tensor
  beta1?: number
  beta2?: number
  epsilon?: number
  weightDecay?: number
}

/**
 * One step of AdamW in place (Loshchilov & Hutter 2019, algorithm 2, as torch.optim.AdamW):
 * p ← p·(1 − lr·λ) − lr · m̂ / (√v̂ + ε). Gives the parameter as it is then. Every row of an embedding is decayed and
 * has its moments moved, also those that got no gradient; but where only this step and globalNorm read the gradient of an
 * embedding of more rows than there are ids, a compiled program stores the rows of the ids alone, not one of the table's
 * size.
 */
export function adamWStep(parameter: Tensor, options: AdamWStep): Tensor {
  checkTensor('adamWStep', 'parameter', parameter)
  checkOptions('adamWStep', options, [
    'gradient',
    'm',
    'v',
    'learningRate',
    'step',
    'gradientScale',
    'beta1',
    'beta2',
    'epsilon',
    'weightDecay',
  ])
  const {
    gradient,
    m,
    v,
    learningRate,
    step,
    gradientScale,
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-8,
    weightDecay = 0.01,
  } = options
  for (const [name, x] of Object.entries({ gradient, m, v, learningRate, step })) checkTensor('adamWStep', name, x)
  if (gradientScale !== undefined) checkTensor('adamWStep', 'gradientScale', gradientScale)
  checkNumber('adamWStep', 'beta1', beta1, 0, 1 - 2 ** -53)
  checkNumber('adamWStep', 'beta2', beta2, 0, 1 - 2 ** -53)
  checkNumber('adamWStep', 'epsilon', epsilon, 0)
  checkNumber('adamWStep', 'weightDecay', weightDecay, 0)
  return apply(adamWOp, [gradient, learningRate, step, gradientScale, undefined, parameter, m, v], {
    beta1,
    beta2,
    epsilon,
    weightDecay,
  })[0]!
}

const globalNormOp = defineOp({
  name: 'globalNorm',
  operands: [{ name: 'tensors', kind: 'float', variadic: true, layout: 'contiguous' }],
  outputs: [{ name: 'norm' }],
  infer: ([first]) => [like(first!, [])],
  lowering: { kind: 'instruction', instruction: 'globalNorm', attributes: () => [] },
})

/** √(Σ x²) over all elements of all tensors. Squares are f32: ∞ for elements above 1e19, 0 below 1e-19. No gradient. */
export function globalNorm(tensors: readonly Tensor[]): Tensor {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ArgumentError(`globalNorm: expected an array of tensors, got ${describe(tensors)}`)
  tensors.forEach((x, i) => checkTensor('globalNorm', `tensor ${i}`, x))
  return apply(globalNormOp, tensors)[0]!
}

/** The factor min(1, maxNorm / (norm + 1e-6)) that gradients are scaled with (Pascanu et al. 2013, as in PyTorch). */
export function clipScale(norm: Tensor, maxNorm: number): Tensor {
  checkTensor('clipScale', 'norm', norm)
  checkNumber('clipScale', 'maxNorm', maxNorm, 0)
  return minimum(divide(fill([], maxNorm, norm.dtype), add(norm, 1e-6)), 1)
}
