import { checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { gated, split, type Activation } from '../ops/index.ts'
import { checkActivation } from '../ops/matmul.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkDropping, dropWith, type Dropping } from './dropout.ts'
import { generatorOf, type Initialised } from './init.ts'
import { Linear } from './linear.ts'
import { Module } from './module.ts'

export interface FeedForwardOptions extends Initialised {
  dim: number
  /** Width between; 4·dim unless said. */
  hidden?: number
  /** Of FeedForward: gelu unless said. */
  activation?: Activation
  bias?: boolean
  dropout?: number
  /** Weights are kept as [inputs, outputs]. */
  inputsFirst?: boolean
}

export interface GatedFeedForwardOptions extends FeedForwardOptions {
  /** A projection each for the gate and for what it gates, as most checkpoints have it, instead of a joined one. */
  separate?: boolean
}

const shared = {
  dim: 'any',
  hidden: 'any',
  bias: 'boolean',
  dropout: 'any',
  inputsFirst: 'boolean',
  random: 'any',
} as const
const known = { ...shared, activation: 'any' } as const
const knownGlu = { ...shared, separate: 'boolean' } as const
const knownGated = { ...knownGlu, activation: 'any' } as const

function resolve(
  operation: string,
  options: FeedForwardOptions,
  defaults: { activation: Activation; bias: boolean; known: Readonly<Record<string, 'any' | 'boolean'>> },
) {
  checkOptions(operation, options, defaults.known)
  const { bias = defaults.bias, activation = defaults.activation, dropout = 0 } = options
  const dim = checkInteger(operation, 'dim', options.dim, 1)
  return {
    dim,
    hidden: checkInteger(operation, 'hidden', options.hidden ?? 4 * dim, 1),
    activation: checkActivation(operation, activation),
    dropout: checkNumber(operation, 'dropout', dropout, 0, 0.999999),
    linear: { bias, inputsFirst: options.inputsFirst ?? false, random: generatorOf(operation, options) },
  }
}

/** down(f(up(x))): two linear layers with an activation between. x […, dim] → […, dim]. */
export class FeedForward extends Module {
  readonly up: Linear
  readonly down: Linear
  readonly #activation: Activation
  readonly #dropout: number

  constructor(options: FeedForwardOptions) {
    super()
    const { dim, hidden, activation, dropout, linear } = resolve('FeedForward', options, {
      activation: 'gelu',
      bias: true,
      known,
    })
    this.up = new Linear(dim, hidden, linear)
    this.down = new Linear(hidden, dim, linear)
    this.#activation = activation
    this.#dropout = dropout
  }

  forward(x: Tensor, options: Dropping = {}): Tensor {
    checkDropping('FeedForward', options)
    const inner = dropWith(this.up.forward(x, { activation: this.#activation }), this.#dropout, options)
    return dropWith(this.down.forward(inner), this.#dropout, options)
  }
}

/**
 * down(f(gate(x)) ⊙ up(x)) (Shazeer 2020); f is silu unless said, and there are no biases unless said. `gateUp` holds
 * both projections: [2·hidden, dim], the gate first; `separate` ones are `gate` and `up`.
 */
export class GatedFeedForward extends Module {
  readonly gateUp?: Linear
  readonly gate?: Linear
  readonly up?: Linear
  readonly down: Linear
  readonly #activation: Activation
  readonly #dropout: number

  constructor(options: GatedFeedForwardOptions) {
    super()
    const { dim, hidden, activation, dropout, linear } = resolve('GatedFeedForward', options, {
      activation: 'silu',
      bias: false,
      known: knownGated,
    })
    if (options.separate) {
      this.gate = new Linear(dim, hidden, linear)
      this.up = new Linear(dim, hidden, linear)
    } else this.gateUp = new Linear(dim, 2 * hidden, linear)
    this.down = new Linear(hidden, dim, linear)
    this.#activation = activation
    this.#dropout = dropout
  }

  forward(x: Tensor, options: Dropping = {}): Tensor {
    checkDropping('GatedFeedForward', options)
    const [gate, up] = this.gateUp ? split(this.gateUp.forward(x), 2) : [this.gate!.forward(x), this.up!.forward(x)]
    return dropWith(this.down.forward(gated(this.#activation, gate!, up!)), this.#dropout, options)
  }
}

/** A gated feed-forward layer with silu. */
export class SwiGLU extends GatedFeedForward {
  constructor(options: Omit<GatedFeedForwardOptions, 'activation'>) {
    checkOptions('SwiGLU', options, knownGlu)
    super({ ...options, activation: 'silu' })
  }
}

/** A gated feed-forward layer with gelu. */
export class GeGLU extends GatedFeedForward {
  constructor(options: Omit<GatedFeedForwardOptions, 'activation'>) {
    checkOptions('GeGLU', options, knownGlu)
    super({ ...options, activation: 'gelu' })
  }
}
