import type { Dropping } from '../nn/dropout.ts'
import { FeedForward, GatedFeedForward } from '../nn/feed-forward.ts'
import { generatorOf, type Initialised } from '../nn/init.ts'
import { MixtureOfExperts, type MixtureOfExpertsOptions } from '../nn/mixture-of-experts.ts'
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

export const makeNorm = (
  { norm, hiddenSize, normEpsilon: epsilon, bias }: Required<LayerConfig>,
  { normOffset: offset = 0 }: Pick<LayerOptions, 'normOffset'> = {},
): Norm =>
  norm === 'rms' ? new RMSNorm(hiddenSize, { epsilon, offset }) : new LayerNorm(hiddenSize, { epsilon, bias })

export interface LayerOptions extends Initialised {
  /** Norms stand before each part (pre), after its residual sum (post), after it and before the sum (output), or before and after it (both). */
  normPlacement: 'pre' | 'post' | 'output' | 'both'
  /** Added to the weights of RMS norms. */
  normOffset?: number
  /** x is normalised already: attention has no norm before it. */
  readsNormalised?: boolean
  /** The feed-forward part reads what attention reads; with norms before each part. */
  parallel?: boolean
  rope?: RotaryConfig | undefined
  /** A second attention, to another sequence. */
  cross?: boolean
  /** More of the attention to its own sequence; the other one has the same `scale`. */
  attention?: Pick<
    MultiHeadAttentionOptions,
    'bias' | 'outputBias' | 'byHead' | 'queryKeyNorm' | 'window' | 'softcap' | 'scale'
  >
  /** Of the feed-forward part; the configuration's unless said. */
  mlpBias?: boolean
  /** The feed-forward part is a mixture of experts. */
  experts?: Omit<MixtureOfExpertsOptions, 'dim' | 'activation' | 'dropout' | 'random'> | undefined
  /** Of a gated feed-forward part: gate and up are one projection; the configuration's `joined` unless said. */
  mlpJoined?: boolean
}

/**
 * Of each layer with rotary positions their frequencies, one tensor for all that have the same: what positions are turned by
 * is then computed once for all of them.
 */
export function sharedFrequencies(layers: readonly TransformerLayer[]): (Tensor | undefined)[] {
  const known: Tensor[] = []
  return layers.map(({ attention: { frequencies } }) => {
    if (!frequencies) return undefined
    const numbers = frequencies.data()
    const same = known.find((x) => x.shape[0] === numbers.length && x.data().every((f, i) => f === numbers[i]))
    if (!same) known.push(frequencies)
    return same ?? frequencies
  })
}

/** What a layer attends to beside its own sequence. */
export interface CrossOptions {
  memory: Tensor | Remembered
  onAttention?: AttendOptions['onAttention']
  /** i32 [sequences + 1]: of x seen as (tokens, hiddenSize), and of the memory. */
  offsets: Tensor
  memoryOffsets: Tensor
}

/** Who wants to see what layers attend to. */
export interface Watching {
  /** Is given the probabilities [1, heads, length, keyLength] of a layer; undefined for layers that are not watched. */
  onAttention?: ((layer: number) => AttendOptions['onAttention']) | undefined
}

/**
 * The layer of every model: attention to its own sequence, to another one where it has `crossAttention`, and a
 * feed-forward part, each with norms and a residual sum. x (tokens, hiddenSize) or (batch, length, hiddenSize).
 */
export class TransformerLayer extends Module {
  readonly attentionNorm?: Norm
  readonly attention: MultiHeadAttention
  readonly attentionOutputNorm?: Norm
  readonly crossAttentionNorm?: Norm
  readonly crossAttention?: MultiHeadAttention
  readonly crossAttentionOutputNorm?: Norm
  readonly mlpNorm?: Norm
  readonly mlp: FeedForward | GatedFeedForward | MixtureOfExperts
  readonly mlpOutputNorm?: Norm
  readonly #isPost: boolean
  readonly #parallel: boolean

  constructor(config: Required<LayerConfig>, options: LayerOptions) {
    super()
    const { hiddenSize: dim, activation, bias, dropout, inputsFirst, joined } = config
    const { normPlacement, mlpBias = bias, mlpJoined = joined } = options
    const random = generatorOf('TransformerLayer', options)
    const shared = { dim, bias, dropout, inputsFirst, random }
    const { numHeads: heads, numKeyValueHeads: kvHeads, headDim } = config
    const attention = { ...shared, heads, kvHeads, headDim, separate: !joined }
    const hasInputNorms = normPlacement !== 'output'
    const hasOutputNorms = normPlacement === 'output' || normPlacement === 'both'
    const norm = (): Norm => makeNorm(config, options)
    this.#isPost = normPlacement === 'post'
    this.#parallel = options.parallel ?? false
    if (hasInputNorms && !options.readsNormalised) this.attentionNorm = norm()
    this.attention = new MultiHeadAttention({ ...attention, rope: options.rope, ...options.attention })
    if (hasOutputNorms) this.attentionOutputNorm = norm()
    if (options.cross) {
      if (hasInputNorms) this.crossAttentionNorm = norm()
      this.crossAttention = new MultiHeadAttention({ ...attention, scale: options.attention?.scale, cross: true })
      if (hasOutputNorms) this.crossAttentionOutputNorm = norm()
    }
    if (hasInputNorms) this.mlpNorm = norm()
    const mlp = { ...shared, bias: mlpBias, hidden: config.intermediateSize, activation }
    if (options.experts) this.mlp = new MixtureOfExperts({ ...options.experts, dim, activation, dropout, random })
    else this.mlp = config.gated ? new GatedFeedForward({ ...mlp, separate: !mlpJoined }) : new FeedForward(mlp)
    if (hasOutputNorms) this.mlpOutputNorm = norm()
  }

  forward(x: Tensor, options: AttendOptions, cross?: CrossOptions): Tensor {
    const dropping: Dropping = { dropout: options.dropout }
    const attend = (input: Tensor): Tensor => this.attention.forward(input, options)
    const feed = (input: Tensor): Tensor => this.mlp.forward(input, dropping)
    if (this.#parallel) return add(add(x, attend(this.attentionNorm!.forward(x))), feed(this.mlpNorm!.forward(x)))
    x = this.#residual(x, this.attentionNorm, attend, this.attentionOutputNorm)
    if (this.crossAttention && cross) {
      const inform = (input: Tensor): Tensor => {
        const rows = reshape(input, [-1, input.shape.at(-1)!])
        return reshape(this.crossAttention!.forward(rows, { ...cross, ...dropping }), input.shape)
      }
      x = this.#residual(x, this.crossAttentionNorm, inform, this.crossAttentionOutputNorm)
    }
    return this.#residual(x, this.mlpNorm, feed, this.mlpOutputNorm)
  }

  #residual(x: Tensor, norm: Norm | undefined, part: (input: Tensor) => Tensor, outputNorm: Norm | undefined): Tensor {
    if (this.#isPost) return norm!.forward(add(x, part(x)))
    const made = part(norm ? norm.forward(x) : x)
    return add(x, outputNorm ? outputNorm.forward(made) : made)
  }
}
