import type { Dropping } from '../nn/dropout.ts'
import { FeedForward, GatedFeedForward } from '../nn/feed-forward.ts'
import { generatorOf, type Initialised } from '../nn/init.ts'
import { Module } from '../nn/module.ts'
import {
  MultiHeadAttention,
  type AttendOptions,
  type MultiHeadAttentionOptions,
  type Remembered,
  type RotaryConfig,
} from '../nn/multi-head-attention.ts'
import { LayerNorm, RMSNorm } from '../nn/norms.ts'
import { add, reshape } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { LayerConfig } from './layer-config.ts'

export type Norm = LayerNorm | RMSNorm

export const makeNorm = ({ norm, hiddenSize, normEpsilon: epsilon, bias }: Required<LayerConfig>): Norm =>
  norm === 'rms' ? new RMSNorm(hiddenSize, { epsilon }) : new LayerNorm(hiddenSize, { epsilon, bias })

export interface LayerOptions extends Initialised {
  /** Norms stand before each part ('pre') or after its residual sum ('post'). */
  normPlacement: 'pre' | 'post'
  rope?: RotaryConfig | undefined
  /** A second attention, to another sequence. */
  cross?: boolean
  /** More of the attention to its own sequence; the other one has the same `scale`. */
  attention?: Pick<MultiHeadAttentionOptions, 'scale'>
}

/** What a layer attends to beside its own sequence. */
export interface CrossOptions {
  memory: Tensor | Remembered
  /** i32 [sequences + 1]: of x seen as (tokens, hiddenSize), and of the memory. */
  offsets: Tensor
  memoryOffsets: Tensor
}

/**
 * The layer of every model: attention to its own sequence, to another one where it has `crossAttention`, and a
 * feed-forward part, each with a norm and a residual sum. x (tokens, hiddenSize) or (batch, length, hiddenSize).
 */
export class TransformerLayer extends Module {
  readonly attentionNorm: Norm
  readonly attention: MultiHeadAttention
  readonly crossAttentionNorm?: Norm
  readonly crossAttention?: MultiHeadAttention
  readonly mlpNorm: Norm
  readonly mlp: FeedForward | GatedFeedForward
  readonly #normPlacement: LayerOptions['normPlacement']

  constructor(config: Required<LayerConfig>, options: LayerOptions) {
    super()
    const { hiddenSize: dim, activation, bias, dropout, inputsFirst, joined } = config
    const random = generatorOf('TransformerLayer', options)
    const shared = { dim, bias, dropout, inputsFirst, random }
    const { numHeads: heads, numKeyValueHeads: kvHeads, headDim } = config
    const attention = { ...shared, heads, kvHeads, headDim, separate: !joined }
    this.#normPlacement = options.normPlacement
    this.attentionNorm = makeNorm(config)
    this.attention = new MultiHeadAttention({ ...attention, rope: options.rope, ...options.attention })
    if (options.cross) {
      this.crossAttentionNorm = makeNorm(config)
      this.crossAttention = new MultiHeadAttention({ ...attention, scale: options.attention?.scale, cross: true })
    }
    this.mlpNorm = makeNorm(config)
    const mlp = { ...shared, hidden: config.intermediateSize, activation }
    this.mlp = config.gated ? new GatedFeedForward({ ...mlp, separate: !joined }) : new FeedForward(mlp)
  }

  forward(x: Tensor, options: AttendOptions, cross?: CrossOptions): Tensor {
    const dropping: Dropping = { dropout: options.dropout }
    x = this.#residual(x, this.attentionNorm, (input) => this.attention.forward(input, options))
    if (this.crossAttention && cross)
      x = this.#residual(x, this.crossAttentionNorm!, (input) => {
        const rows = reshape(input, [-1, input.shape.at(-1)!])
        return reshape(this.crossAttention!.forward(rows, { ...cross, ...dropping }), input.shape)
      })
    return this.#residual(x, this.mlpNorm, (input) => this.mlp.forward(input, dropping))
  }

  #residual(x: Tensor, norm: Norm, part: (input: Tensor) => Tensor): Tensor {
    return this.#normPlacement === 'pre' ? add(x, part(norm.forward(x))) : norm.forward(add(x, part(x)))
  }
}
