import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add, type Activation } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { FeedForward } from './feed-forward.ts'
import { generatorOf, type Initialised } from './init.ts'
import { KeyValueCache } from './key-value-cache.ts'
import { maxLayers, Module } from './module.ts'
import {
  attendOptionNames,
  MultiHeadAttention,
  type AttendOptions,
  type MultiHeadAttentionOptions,
  type RotaryConfig,
} from './multi-head-attention.ts'
import { LayerNorm } from './norms.ts'

/** The options of torch.nn.TransformerEncoderLayer, and grouped heads and rotary positions. */
export interface TransformerLayerOptions extends Initialised {
  dim: number
  heads: number
  /** Width of the feed-forward layer; 2,048 unless said. */
  ffn?: number
  kvHeads?: number | undefined
  rope?: RotaryConfig | undefined
  /** Of self-attention, as MultiHeadAttention has them. */
  window?: MultiHeadAttentionOptions['window']
  softcap?: number | undefined
  alibi?: boolean | undefined
  /** relu unless said. */
  activation?: Activation
  /** Normalise before each sub-layer (pre-norm) instead of after it. */
  normFirst?: boolean
  bias?: boolean
  dropout?: number
  epsilon?: number
}

export const layerOptions = {
  dim: 'any',
  heads: 'any',
  ffn: 'any',
  kvHeads: 'any',
  rope: 'any',
  window: 'any',
  softcap: 'any',
  alibi: 'boolean',
  activation: 'any',
  normFirst: 'boolean',
  bias: 'boolean',
  dropout: 'any',
  epsilon: 'any',
  random: 'any',
} as const

export const stackOptions = { ...layerOptions, layers: 'any', finalNorm: 'boolean' } as const

/** The parts that encoder and decoder layers are made of. */
export function layerParts(operation: string, options: TransformerLayerOptions) {
  const {
    dim,
    heads,
    ffn = 2048,
    kvHeads,
    rope,
    window,
    softcap,
    alibi,
    activation = 'relu',
    bias = true,
    dropout = 0,
    epsilon = 1e-5,
  } = options
  const generator = generatorOf(operation, options)
  const shared = { dim, heads, kvHeads, bias, dropout, random: generator }
  return {
    selfAttention: (): MultiHeadAttention => new MultiHeadAttention({ ...shared, rope, window, softcap, alibi }),
    crossAttention: (): MultiHeadAttention => new MultiHeadAttention({ ...shared, cross: true }),
    feedForward: (): FeedForward => new FeedForward({ dim, hidden: ffn, activation, bias, dropout, random: generator }),
    norm: (): LayerNorm => new LayerNorm(dim, { bias, epsilon }),
  }
}

/** x + f(norm(x)) when pre-norm, norm(x + f(x)) when post-norm. */
export function residual(x: Tensor, norm: LayerNorm, normFirst: boolean, sublayer: (input: Tensor) => Tensor): Tensor {
  return normFirst ? add(x, sublayer(norm.forward(x))) : norm.forward(add(x, sublayer(x)))
}

/** Self-attention and feed-forward, each with a residual connection and a norm. x [batch, length, dim]. */
export class TransformerEncoderLayer extends Module {
  readonly selfAttention: MultiHeadAttention
  readonly norm1: LayerNorm
  readonly feedForward: FeedForward
  readonly norm2: LayerNorm
  readonly #normFirst: boolean

  constructor(options: TransformerLayerOptions) {
    super()
    checkOptions('TransformerEncoderLayer', options, layerOptions)
    const parts = layerParts('TransformerEncoderLayer', options)
    this.selfAttention = parts.selfAttention()
    this.norm1 = parts.norm()
    this.feedForward = parts.feedForward()
    this.norm2 = parts.norm()
    this.#normFirst = options.normFirst ?? false
  }

  forward(x: Tensor, options: AttendOptions = {}): Tensor {
    checkTensor('TransformerEncoderLayer', 'x', x)
    checkOptions('TransformerEncoderLayer', options, attendOptionNames)
    const { dropout } = options
    const attended = residual(x, this.norm1, this.#normFirst, (input) => this.selfAttention.forward(input, options))
    return residual(attended, this.norm2, this.#normFirst, (input) => this.feedForward.forward(input, { dropout }))
  }
}

export interface TransformerStackOptions extends TransformerLayerOptions {
  layers: number
  /** A norm after the last layer; with `normFirst` unless said. */
  finalNorm?: boolean
}

export interface StackForwardOptions extends Omit<AttendOptions, 'cache'> {
  /** Of all layers. */
  cache?: KeyValueCache | undefined
  /** i32 scalar, with a cache: how many tokens it holds already. */
  position?: Tensor | undefined
}

/** The options of each layer of a stack. */
export function layerForwardOptions<O extends StackForwardOptions>(
  operation: string,
  given: O,
  more: readonly string[] = [],
): (index: number) => Omit<O, 'cache' | 'position'> & AttendOptions {
  checkOptions(operation, given, [...attendOptionNames, 'position', ...more])
  const { cache, position, ...options } = given
  if (cache !== undefined && !(cache instanceof KeyValueCache))
    throw new ArgumentError(`${operation}: cache should be a KeyValueCache, got ${describe(cache)}`)
  if (cache && !position) throw new ArgumentError(`${operation}: a cache needs position, how many tokens it holds`)
  return (index) => ({ ...options, cache: cache?.layer(index, position!) })
}

/** Encoder layers one after another. x [batch, length, dim] → the same shape. */
export class TransformerEncoder extends Module {
  readonly layers: readonly TransformerEncoderLayer[]
  readonly norm?: LayerNorm

  constructor(options: TransformerStackOptions) {
    super()
    checkOptions('TransformerEncoder', options, stackOptions)
    const { layers, finalNorm, ...rest } = options
    checkInteger('TransformerEncoder', 'layers', layers, 0, maxLayers)
    const layer = { ...rest, random: generatorOf('TransformerEncoder', options) }
    this.layers = Array.from({ length: layers }, () => new TransformerEncoderLayer(layer))
    if (finalNorm ?? options.normFirst) this.norm = layerParts('TransformerEncoder', layer).norm()
  }

  forward(x: Tensor, options: StackForwardOptions = {}): Tensor {
    checkTensor('TransformerEncoder', 'x', x)
    const of = layerForwardOptions('TransformerEncoder', options)
    const out = this.layers.reduce((hidden, layer, index) => layer.forward(hidden, of(index)), x)
    return this.norm ? this.norm.forward(out) : out
  }
}
