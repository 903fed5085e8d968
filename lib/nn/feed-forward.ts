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
  /** gelu unless said. */
  activation?: Activation
  bias?: boolean
  dropout?: number
}

const known = { dim: 'any', hidden: 'any', activation: 'any', bias: 'boolean', dropout: 'any', random: 'any' } as const

/** down(f(up(x))): two linear layers with an activation between. x […, dim] → […, dim]. */
export class FeedForward extends Module {
  readonly up: Linear
  readonly down: Linear
  readonly #activation: Activation
  readonly #dropout: number

  constructor(options: FeedForwardOptions) {
    super()
    checkOptions('FeedForward', options, known)
    const { dim, bias = true, activation = 'gelu' } = options
    checkInteger('FeedForward', 'dim', dim, 1)
    const hidden = checkInteger('FeedForward', 'hidden', options.hidden ?? 4 * dim, 1)
    const random = generatorOf('FeedForward', options)
    this.up = new Linear(dim, hidden, { bias, random })
    this.down = new Linear(hidden, dim, { bias, random })
    this.#activation = checkActivation('FeedForward', activation)
    this.#dropout = checkNumber('FeedForward', 'dropout', options.dropout ?? 0, 0, 0.999999)
  }

  forward(x: Tensor, options: Dropping = {}): Tensor {
    checkDropping('FeedForward', options)
    const inner = dropWith(this.up.forward(x, { activation: this.#activation }), this.#dropout, options)
    return dropWith(this.down.forward(inner), this.#dropout, options)
  }
}

/** down(f(gate(x)) ⊙ up(x)) (Shazeer 2020). `gateUp` holds both projections: [2·hidden, dim], the gate first. */
export class GatedFeedForward extends Module {
  readonly gateUp: Linear
  readonly down: Linear
  readonly #activation: Activation
  readonly #dropout: number

  constructor(options: FeedForwardOptions) {
    super()
    checkOptions('GatedFeedForward', options, known)
    const { dim, bias = false, activation = 'silu' } = options
    checkInteger('GatedFeedForward', 'dim', dim, 1)
    const hidden = checkInteger('GatedFeedForward', 'hidden', options.hidden ?? 4 * dim, 1)
    const random = generatorOf('GatedFeedForward', options)
    this.gateUp = new Linear(dim, 2 * hidden, { bias, random })
    this.down = new Linear(hidden, dim, { bias, random })
    this.#activation = checkActivation('GatedFeedForward', activation)
    this.#dropout = checkNumber('GatedFeedForward', 'dropout', options.dropout ?? 0, 0, 0.999999)
  }

  forward(x: Tensor, options: Dropping = {}): Tensor {
    checkDropping('GatedFeedForward', options)
    const [gate, up] = split(this.gateUp.forward(x), 2) as [Tensor, Tensor]
    return dropWith(this.down.forward(gated(this.#activation, gate, up)), this.#dropout, options)
  }
}

function withActivation(operation: string, options: object, activation: Activation): FeedForwardOptions {
  const { activation: _, ...others } = known
  checkOptions(operation, options, others)
  return { ...(options as FeedForwardOptions), activation }
}

/** A gated feed-forward layer with silu. */
export class SwiGLU extends GatedFeedForward {
  constructor(options: Omit<FeedForwardOptions, 'activation'>) {
    super(withActivation('SwiGLU', options, 'silu'))
  }
}

/** A gated feed-forward layer with gelu. */
export class GeGLU extends GatedFeedForward {
  constructor(options: Omit<FeedForwardOptions, 'activation'>) {
    super(withActivation('GeGLU', options, 'gelu'))
  }
}
