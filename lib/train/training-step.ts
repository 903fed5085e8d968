import { ArgumentError, checkNumber, checkOptions, describe } from '../errors.ts'
import { compile, type Compiled } from '../graph/compile.ts'
import { checkPrecision, type Precision } from '../graph/precision.ts'
import { DropoutSource } from '../nn/dropout.ts'
import { clipScale, globalNorm, reshape } from '../ops/index.ts'
import { valueAndGrad } from '../ops/gradients.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import type { Optimizer } from './adamw.ts'

export interface StepArguments<Batch> {
  batch: Batch
  learningRate: Tensor
  /** i32 [1]: the step, counted from 1. */
  step: Tensor
  /** i32 [1]: of the dropouts of this step. */
  seed: Tensor
}

export interface StepResult {
  loss: Tensor
  /** Of the gradients before clipping. */
  gradNorm: Tensor
}

export interface TrainingStepOptions<Batch> {
  parameters: ReadonlyMap<string, Parameter>
  loss: (batch: Batch, dropout: DropoutSource) => Tensor
  optimizer: Optimizer
  /** Gradients are scaled down to this global norm; undefined: never. */
  clipNorm?: number | undefined
  /** Of the matrix products, forward and backward: see `compile`. Parameters and moments stay f32. */
  precision?: Precision
}

/**
 * One training step as one native program: forward, backward, clipping and the optimizer. An abort stops it before the
 * first parameter changes, or not at all.
 */
export function trainingStep<Batch>(options: TrainingStepOptions<Batch>): Compiled<StepArguments<Batch>, StepResult> {
  checkOptions('trainingStep', options, {
    parameters: 'any',
    loss: 'function',
    optimizer: 'any',
    clipNorm: 'any',
    precision: 'any',
  })
  const { parameters, loss, optimizer, clipNorm, precision = 'f32' } = options
  checkPrecision('trainingStep', precision)
  if (!(parameters instanceof Map))
    throw new ArgumentError(`trainingStep: parameters should be a map of parameters, got ${describe(parameters)}`)
  if (typeof loss !== 'function') throw new ArgumentError('trainingStep: loss is missing')
  if (typeof Object(optimizer).update !== 'function')
    throw new ArgumentError(`trainingStep: optimizer should be what adamW(…) makes, got ${describe(optimizer)}`)
  if (clipNorm !== undefined) checkNumber('trainingStep', 'clipNorm', clipNorm, 0)
  const train = ({ batch, learningRate, step, seed }: StepArguments<Batch>): StepResult => {
    const dropout = new DropoutSource(reshape(seed, []))
    const { value, grads } = valueAndGrad((given: Batch) => loss(given, dropout), parameters)(batch)
    const gradients = grads as Map<string, Tensor>
    const gradNorm = globalNorm([...gradients.values()])
    const scale = clipNorm === undefined ? {} : { gradientScale: clipScale(gradNorm, clipNorm) }
    optimizer.update(gradients, { learningRate, step: reshape(step, []), ...scale })
    return { loss: value, gradNorm }
  }
  return compile(train, { precision })
}
