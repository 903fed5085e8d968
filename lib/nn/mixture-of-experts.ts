import { ArgumentError, checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { add, mixtureOfExperts, multiply, reshape, sigmoid, softmax, type Activation } from '../ops/index.ts'
import { checkTensor } from '../ops/define-op.ts'
import { checkActivation } from '../ops/matmul.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import { checkDropping, dropWith, type Dropping } from './dropout.ts'
import { GatedFeedForward } from './feed-forward.ts'
import { generatorOf, uniform, type Initialised } from './init.ts'
import { Linear } from './linear.ts'
import { Module } from './module.ts'

export interface MixtureOfExpertsOptions extends Initialised {
  dim: number
  /** Width between of each expert. */
  hidden: number
  experts: number
  /** How many of them a token goes through. */
  topK: number
  /** Their weights sum to 1; true unless said. */
  normalize?: boolean
  /** Of the gates; silu unless said. */
  activation?: Activation
  /** Width of an expert that every token goes through, by a weight of its own (Qwen 2 MoE); none unless said. */
  sharedHidden?: number
  dropout?: number
}

const known = {
  dim: 'any',
  hidden: 'any',
  experts: 'any',
  topK: 'any',
  normalize: 'boolean',
  activation: 'any',
  sharedHidden: 'any',
  dropout: 'any',
  random: 'any',
} as const

/**
 * A gated feed-forward layer of which each token uses the `topK` experts that `router` finds most probable
 * (ops.mixtureOfExperts, with p = softmax(router(x))). gateUp [experts, 2·hidden, dim], down [experts, dim, hidden].
 */
export class MixtureOfExperts extends Module {
  readonly router: Linear
  readonly gateUp: Parameter
  readonly down: Parameter
  readonly shared?: GatedFeedForward
  readonly sharedGate?: Linear
  readonly #options: { readonly topK: number; readonly normalize: boolean; readonly activation: Activation }
  readonly #dropout: number

  constructor(options: MixtureOfExpertsOptions) {
    super()
    checkOptions('MixtureOfExperts', options, known)
    const { dim, hidden, experts, topK, normalize = true, activation = 'silu', sharedHidden, dropout = 0 } = options
    for (const [name, value] of Object.entries({ dim, hidden, experts }))
      checkInteger('MixtureOfExperts', name, value, 1)
    checkInteger('MixtureOfExperts', 'topK', topK, 1, experts)
    checkActivation('MixtureOfExperts', activation)
    this.#dropout = checkNumber('MixtureOfExperts', 'dropout', dropout, 0, 0.999999)
    const random = generatorOf('MixtureOfExperts', options)
    this.router = new Linear(dim, experts, { bias: false, random })
    this.gateUp = uniform([experts, 2 * hidden, dim], random, 1 / Math.sqrt(dim))
    this.down = uniform([experts, dim, hidden], random, 1 / Math.sqrt(hidden))
    if (sharedHidden !== undefined) {
      checkInteger('MixtureOfExperts', 'sharedHidden', sharedHidden, 1)
      this.shared = new GatedFeedForward({ dim, hidden: sharedHidden, activation, separate: true, random })
      this.sharedGate = new Linear(dim, 1, { bias: false, random })
    }
    this.#options = { topK, normalize, activation }
  }

  /** x […, dim] → […, dim]. */
  forward(x: Tensor, options: Dropping = {}): Tensor {
    checkTensor('MixtureOfExperts', 'x', x)
    checkDropping('MixtureOfExperts', options)
    if (x.rank < 2) throw new ArgumentError('MixtureOfExperts: x should be rows [tokens, dim]; reshape it')
    const rows = reshape(x, [-1, x.shape.at(-1)!])
    const probabilities = softmax(this.router.forward(rows))
    let y = mixtureOfExperts(rows, probabilities, this.gateUp, this.down, this.#options)
    if (this.shared) y = add(y, multiply(sigmoid(this.sharedGate!.forward(rows)), this.shared.forward(rows)))
    return dropWith(reshape(y, [...x.shape.slice(0, -2), -1, x.shape.at(-1)!]), this.#dropout, options)
  }
}
