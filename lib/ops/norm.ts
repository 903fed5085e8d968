import { checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { TensorType } from '../graph/op.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'

const perRow = (x: TensorType): TensorType => like(x, x.shape.slice(0, -1))

/*
 * s = x + residual;  y = (s − mean) · rstd ⊙ weight + bias over the last dimension, rstd = 1/√(variance + ε).
 * Without `center` (RMS norm) the mean is 0. `residual` and the output `sum` exist for the rewrites.
 */
const normOp = defineOp({
  name: 'norm',
  operands: [
    { name: 'x', kind: 'float', layout: 'rows' },
    { name: 'residual', kind: 'float', optional: true, layout: 'rows' },
    { name: 'weight', kind: 'float', optional: true, layout: 'contiguous' },
    { name: 'bias', kind: 'float', optional: true, layout: 'contiguous' },
  ],
  outputs: [
    { name: 'y', layout: 'rows', inPlace: ['x'] },
    { name: 'sum', optional: true, layout: 'rows', inPlace: ['x', 'residual'] },
    { name: 'mean', optional: true, layout: 'contiguous' },
    { name: 'rstd', optional: true, layout: 'contiguous' },
  ],
  infer: ([x, residual, weight, bias], { center }) => {
    const operation = center ? 'layerNorm' : 'rmsNorm'
    checkRank(operation, 'x', x!, 1, 6)
    if (residual) checkShapeOf(operation, 'residual', residual, x!.shape)
    if (weight) checkShapeOf(operation, 'weight', weight, x!.shape.slice(-1))
    if (bias) checkShapeOf(operation, 'bias', bias, x!.shape.slice(-1))
    return [like(x!), like(x!), perRow(x!), perRow(x!)]
  },
  gradient: ({
    inputs: [x, , weight, bias],
    outputs: [, , mean, rstd],
    gradOutputs: [gradient],
    attributes,
    wanted,
  }) => {
    const center = attributes['center'] as boolean
    const [gradX, gradWeight, gradBias] = apply(
      normGradientOp,
      [gradient, x, weight, center ? mean : undefined, rstd, undefined],
      { center },
      [0, 1, 2],
    )
    return [gradX, undefined, weight && wanted[2] ? gradWeight : undefined, bias && wanted[3] ? gradBias : undefined]
  },
  lowering: { kind: 'instruction', instruction: 'norm', attributes: numbers('epsilon', 'center') },
})

const normGradientOp = defineOp({
  name: 'normGradient',
  operands: [
    { name: 'gradOutput', kind: 'float', layout: 'rows' },
    { name: 'x', kind: 'float', layout: 'rows' },
    { name: 'weight', kind: 'float', optional: true, layout: 'contiguous' },
    { name: 'mean', kind: 'float', optional: true, layout: 'contiguous' },
    { name: 'rstd', kind: 'float', layout: 'contiguous' },
    { name: 'gradResidual', kind: 'float', optional: true, layout: 'rows' },
  ],
  outputs: [
    { name: 'gradInput', layout: 'rows', inPlace: ['gradOutput'] },
    { name: 'gradWeight', optional: true, layout: 'contiguous' },
    { name: 'gradBias', optional: true, layout: 'contiguous' },
  ],
  infer: ([, x]) => [like(x!), like(x!, x!.shape.slice(-1)), like(x!, x!.shape.slice(-1))],
  lowering: { kind: 'instruction', instruction: 'normGradient', attributes: numbers('center') },
})

export interface NormOptions {
  /** Added to the variance under the root; 1e-5 unless said. */
  epsilon?: number
}

function norm(
  operation: string,
  x: Tensor,
  weight: Tensor | undefined,
  bias: Tensor | undefined,
  options: NormOptions,
  center: boolean,
): Tensor {
  checkTensor(operation, 'x', x)
  if (weight !== undefined) checkTensor(operation, 'weight', weight)
  if (bias !== undefined) checkTensor(operation, 'bias', bias)
  checkOptions(operation, options, ['epsilon'])
  const epsilon = checkNumber(operation, 'epsilon', options.epsilon ?? 1e-5, 0)
  return apply(normOp, [x, undefined, weight, bias], { epsilon, center })[0]!
}

/** (x − mean) / √(variance + ε) ⊙ weight + bias over the last dimension (Ba, Kiros & Hinton 2016). weight, bias: [n]. */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, options: NormOptions = {}): Tensor {
  return norm('layerNorm', x, weight, bias, options, true)
}

/** x / √(mean(x²) + ε) ⊙ weight over the last dimension (Zhang & Sennrich 2019). weight: [n]. */
export function rmsNorm(x: Tensor, weight?: Tensor, options: NormOptions = {}): Tensor {
  return norm('rmsNorm', x, weight, undefined, options, false)
}
