import { checkNumber, checkOptions } from '../errors.ts'
import { adamWStep } from '../ops/index.ts'
import { allocate, type Parameter, type Tensor } from '../tensor/tensor.ts'

export interface AdamWOptions {
  beta1?: number
  beta2?: number
  epsilon?: number
  /** λ; for matrices and embeddings only, as is the custom, unless `decayVectors`. */
  weightDecay?: number
  decayVectors?: boolean
}

/** Numbers that a step needs, as inputs of the program. */
export interface StepInputs {
  learningRate: Tensor
  /** i32 scalar, 1 for the first step. */
  step: Tensor
  gradientScale?: Tensor
}

/** An optimizer as a trainer uses it: moments per parameter, and a step that is recorded into the program. */
export interface Optimizer extends Disposable {
  /** Everything that has to be saved to go on later, by name. */
  readonly state: ReadonlyMap<string, Tensor>
  update(gradients: ReadonlyMap<string, Tensor>, inputs: StepInputs): void
}

export type OptimizerFactory = (parameters: ReadonlyMap<string, Parameter>) => Optimizer

/** AdamW (Loshchilov & Hutter 2019) with torch.optim.AdamW's defaults. */
export function adamW(options: AdamWOptions = {}): OptimizerFactory {
  checkOptions('adamW', options, {
    beta1: 'any',
    beta2: 'any',
    epsilon: 'any',
    weightDecay: 'any',
    decayVectors: 'boolean',
  })
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, decayVectors = false } = options
  checkNumber('adamW', 'beta1', beta1, 0, 1 - 2 ** -53)
  checkNumber('adamW', 'beta2', beta2, 0, 1 - 2 ** -53)
  checkNumber('adamW', 'epsilon', epsilon, 0)
  checkNumber('adamW', 'weightDecay', weightDecay, 0)
  return (parameters) => {
    const state = new Map<string, Tensor>()
    for (const [name, { shape, dtype }] of parameters)
      for (const moment of ['m', 'v']) state.set(`${name}.${moment}`, allocate('adamW', shape, dtype))
    const dispose = (): void => {
      for (const moment of state.values()) moment.dispose()
    }
    return {
      state,
      update(gradients, inputs) {
        for (const [name, parameter] of parameters) {
          const decay = parameter.rank > 1 || decayVectors ? weightDecay : 0
          const moments = { m: state.get(`${name}.m`)!, v: state.get(`${name}.v`)! }
          adamWStep(parameter, {
            gradient: gradients.get(name)!,
            ...moments,
            ...inputs,
            beta1,
            beta2,
            epsilon,
            weightDecay: decay,
          })
        }
      },
      [Symbol.dispose]: dispose,
    }
  }
}
