import { ArgumentError, checkOptions } from '../errors.ts'
import { checkSource, dropWith, type Dropping } from '../nn/dropout.ts'
import { constant, generatorOf, normal, type Initialised } from '../nn/init.ts'
import type { KeyValueCache } from '../nn/key-value-cache.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import type { Remembered } from '../nn/multi-head-attention.ts'
import { project } from '../nn/project.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add, crossEntropy, embedding, linearCrossEntropy, multiply, reshape, transpose } from '../ops/index.ts'
import { fromData, type Parameter, type Tensor } from '../tensor/tensor.ts'
import {
  decoderLayerConfig,
  resolveEncoderDecoderConfig,
  type EncoderDecoderConfig,
  type ResolvedEncoderDecoderConfig,
} from './encoder-decoder-config.ts'
import type { Assembly } from './families/family.ts'
import { bucketsBetween, relativeBucket, relativeBuckets, tableSize } from './relative-positions.ts'
import { makeNorm, TransformerLayer, type CrossOptions, type Norm, type Watching } from './transformer-layer.ts'

/** Sequences that lie one after another, without padding. */
export interface PackedTokens {
  /** i32 [tokens]. */
  tokens: Tensor
  /** i32 [tokens]: 0, 1, … in each sequence; where positions are relative they are not read. */
  positions: Tensor
  /** i32 [sequences + 1]: where each sequence begins, and where the last one ends. */
  offsets: Tensor
  /** i32 [longest, longest] for relative positions: what `relativeBuckets` gives for the longest sequence or more. */
  buckets?: Tensor | undefined
}

/** What the decoder attends to: hidden states of the encoder, or for each layer what it remembers of them. */
export interface EncoderMemory {
  memory: Tensor | readonly Remembered[]
  /** i32 [sequences + 1]: the sequences of the encoder. */
  memoryOffsets: Tensor
}

/** One token more of each of several sequences of one length. */
export interface NextTokens {
  /** i32 [rows]. */
  tokens: Tensor
  positions: Tensor
  /** i32 scalar: how many tokens the cache holds already; i32 [rows]: one more. */
  position: Tensor
  keyLengths: Tensor
  /** i32 [sequences + 1]: which rows belong to which sequence of the encoder. */
  offsets: Tensor
  /** i32 [capacity] for relative positions: buckets of all keys of the cache. */
  buckets?: Tensor | undefined
}

export interface EncoderDecoderOptions extends Initialised {
  /** Whether there is what makes logits of hidden states; true unless said. */
  logits?: boolean
  /** Whether there is a decoder; true unless said. */
  decoder?: boolean
}

/** Who wants to see what layers attend to, in their own sequence and in the source. */
export interface WatchingBoth extends Watching {
  onCrossAttention?: Watching['onAttention']
}

/** Of relative positions: a number for each bucket and head, [buckets, heads]. */
class ScoreBias extends Module {
  readonly weight: Parameter
  constructor(buckets: number, heads: number, options: Initialised) {
    super()
    this.weight = normal([buckets, heads], generatorOf('ScoreBias', options))
  }
}

/** The encoder or the decoder. x (tokens, hiddenSize) */
class Stack extends Module {
  readonly positionEmbedding?: Embedding
  readonly relativeBias?: ScoreBias
  readonly embeddingNorm?: Norm
  readonly layers: readonly TransformerLayer[]
  readonly norm?: Norm
  /** Of sinusoidal positions: [context, hiddenSize]. */
  readonly sinusoids?: Tensor
  readonly #dropout: number

  constructor(config: ResolvedEncoderDecoderConfig, { random, cross }: Initialised & { cross: boolean }) {
    super()
    const { hiddenSize, context, positions, normPlacement, numLayers, numHeads } = config
    if (positions === 'learned')
      this.positionEmbedding = new Embedding(config.firstPosition + context, hiddenSize, { random })
    if (positions === 'relative') this.relativeBias = new ScoreBias(config.relativeBuckets, numHeads, { random })
    if (config.embeddingNorm) this.embeddingNorm = makeNorm(config)
    const layer = { normPlacement, random, cross, attention: config.scaleScores ? {} : { scale: 1 } }
    this.layers = Array.from({ length: numLayers }, () => new TransformerLayer(config, layer))
    if (config.finalNorm) this.norm = makeNorm(config)
    if (positions === 'sinusoidal') this.sinusoids = sinusoids(context, hiddenSize)
    this.#dropout = config.dropout
  }

  /** What goes into the first layer: token embeddings x with positions. */
  embed(x: Tensor, positions: Tensor, dropping: Dropping): Tensor {
    if (this.positionEmbedding) x = add(x, this.positionEmbedding.forward(positions))
    if (this.sinusoids) x = add(x, embedding(this.sinusoids, positions))
    if (this.embeddingNorm) x = this.embeddingNorm.forward(x)
    return dropWith(x, this.#dropout, dropping)
  }

  /** i32 [queries, keys] → what is added to scores, [1, heads, queries, keys]; undefined where positions are not relative. */
  scoreBias(buckets: Tensor | undefined): Tensor | undefined {
    if (!this.relativeBias) return undefined
    if (!buckets)
      throw new ArgumentError('EncoderDecoderModel: relative positions need buckets; relativeBuckets makes them')
    const byHead = transpose(
      embedding(this.relativeBias.weight, checkTensor('EncoderDecoderModel', 'buckets', buckets)),
      [2, 0, 1],
    )
    return reshape(byHead, [1, ...byHead.shape])
  }

  /** The embeddings and what each layer makes of them, the last one normalised where the stack has a norm. */
  states(
    x: Tensor,
    given: PackedTokens,
    causal: boolean,
    dropping: Dropping & Watching,
    crossOf?: (layer: number) => CrossOptions,
  ) {
    const { onAttention, ...rest } = dropping
    const bias = this.scoreBias(given.buckets)
    const states = [(x = this.embed(x, given.positions, dropping))]
    this.layers.forEach((layer, index) => {
      const own = { ...rest, causal, bias, offsets: given.offsets, onAttention: onAttention?.(index) }
      x = layer.forward(x, own, crossOf?.(index))
      states.push(x)
    })
    states[states.length - 1] = this.finish(x, dropping)
    return states
  }

  finish(x: Tensor, dropping: Dropping): Tensor {
    return this.norm ? dropWith(this.norm.forward(x), this.#dropout, dropping) : x
  }
}

/** sin(p / 10000^(2i/d)) for i < d/2, then the cosines of the same. */
function sinusoids(count: number, dim: number): Tensor {
  const table = new Float32Array(count * dim)
  const half = Math.ceil(dim / 2)
  for (let p = 0; p < count; p++)
    for (let j = 0; j < dim; j++) {
      const angle = p / 10_000 ** ((2 * (j < half ? j : j - half)) / dim)
      table[p * dim + j] = j < half ? Math.sin(angle) : Math.cos(angle)
    }
  return fromData(table, { shape: [count, dim] })
}

/**
 * The full Transformer (Vaswani et al. 2017): T5, BART, Marian and their relatives differ in `config` alone. An encoder
 * sees the source, a decoder what there is of the target and, in every layer, what the encoder made of the source.
 */
export class EncoderDecoderModel extends Module {
  readonly tokenEmbedding: Embedding
  /** Of the target, where it does not share the other. */
  readonly decoderTokenEmbedding?: Embedding
  readonly encoder: Stack
  readonly decoder?: Stack
  readonly head?: Linear
  /** [1, vocabSize] */
  readonly logitsBias?: Parameter
  readonly #config: ResolvedEncoderDecoderConfig
  readonly #buckets = new Map<string, Tensor>()

  constructor(config: EncoderDecoderConfig, options: EncoderDecoderOptions = {}) {
    super()
    checkOptions('EncoderDecoderModel', options, { random: 'any', logits: 'boolean', decoder: 'boolean' })
    const { decoder = true, logits = decoder } = options
    const resolved = resolveEncoderDecoderConfig(config)
    const { vocabSize, decoderVocabSize, hiddenSize, padToken, learnsPadding } = resolved
    const random = generatorOf('EncoderDecoderModel', options)
    const table = { random, ...(!learnsPadding && padToken >= 0 && { paddingIndex: padToken }) }
    this.tokenEmbedding = new Embedding(vocabSize, hiddenSize, table)
    if (decoder && !resolved.shareEmbeddings)
      this.decoderTokenEmbedding = new Embedding(decoderVocabSize, hiddenSize, table)
    this.encoder = new Stack(resolved, { random, cross: false })
    if (decoder) this.decoder = new Stack(decoderLayerConfig(resolved), { random, cross: true })
    if (logits && !resolved.tieEmbeddings) this.head = new Linear(hiddenSize, decoderVocabSize, { bias: false, random })
    if (logits && resolved.logitsBias) {
      this.logitsBias = constant([1, decoderVocabSize], 0)
      this.logitsBias.trainable = false
    }
    this.#config = resolved
  }

  get config(): ResolvedEncoderDecoderConfig {
    return this.#config
  }

  /** Of a cache of the decoder's keys and values. */
  get cacheShape(): { layers: number; kvHeads: number; headDim: number } {
    const { numLayers: layers, numKeyValueHeads: kvHeads, headDim } = decoderLayerConfig(this.#config)
    return { layers, kvHeads, headDim }
  }

  /** The embeddings of the source and what each layer makes of them: numLayers + 1 tensors [tokens, hiddenSize]. */
  encode(source: PackedTokens, options: Dropping & Watching = {}): Tensor[] {
    const dropping = this.#check(source, options)
    return this.encoder.states(this.#embedded(this.tokenEmbedding, source.tokens), source, false, dropping)
  }

  /** The same of the target: numDecoderLayers + 1 tensors. Token i sees the tokens j ≤ i. */
  decode(
    target: PackedTokens,
    { memory, memoryOffsets }: EncoderMemory,
    options: Dropping & WatchingBoth = {},
  ): Tensor[] {
    const { onCrossAttention, ...dropping } = this.#check(target, options)
    const { offsets } = target
    const cross = (layer: number): CrossOptions => ({
      memory: rememberedBy(memory, layer),
      offsets,
      memoryOffsets,
      onAttention: onCrossAttention?.(layer),
    })
    return this.#target.states(this.#embedded(this.#targetEmbedding, target.tokens), target, true, dropping, cross)
  }

  /** What each layer of the decoder needs of the encoder's last hidden states. */
  remember(memory: Tensor): Remembered[] {
    return this.#target.layers.map((layer) => layer.crossAttention!.remember(memory))
  }

  /** The last hidden states [rows, hiddenSize] of one token more, which is added to the cache. */
  decodeNext(next: NextTokens, { memory, memoryOffsets }: EncoderMemory, cache: KeyValueCache): Tensor {
    const { tokens, position, keyLengths, offsets, buckets } = next
    const bias = this.#target.scoreBias(buckets && reshape(buckets, [1, -1]))
    const x = this.#target.embed(this.#embedded(this.#targetEmbedding, tokens), next.positions, {})
    let rows = reshape(x, [-1, 1, this.#config.hiddenSize])
    this.#target.layers.forEach((layer, index) => {
      rows = layer.forward(
        rows,
        { causal: true, keyLengths, bias, cache: cache.layer(index, position) },
        { memory: rememberedBy(memory, index), offsets, memoryOffsets },
      )
    })
    return this.#target.finish(reshape(rows, x.shape), {})
  }

  /** hidden […, hiddenSize] → logits […, decoderVocabSize]. */
  logits(hidden: Tensor): Tensor {
    const bias = this.#logitsBias
    return project(this.#scaled(hidden), this.#projection, bias ? { bias } : {})
  }

  /** Mean cross-entropy of the targets (i32 [tokens]; −100 counts for nothing), hidden [tokens, hiddenSize]. */
  loss(hidden: Tensor, targets: Tensor): Tensor {
    const bias = this.#logitsBias
    if (this.#projection.packed) return crossEntropy(this.logits(hidden), targets)
    return linearCrossEntropy(this.#scaled(hidden), this.#projection, targets, bias ? { bias } : {})
  }

  /**
   * i32 [length, length] where positions are relative, for sequences of up to `longest` tokens: kept, as every program for
   * this length reads it, so lengths are rounded up.
   */
  bucketsFor(stack: 'encoder' | 'decoder', longest: number): Tensor | undefined {
    if (this.#config.positions !== 'relative') return undefined
    const length = tableSize(longest)
    const key = `${stack} ${length}`
    let made = this.#buckets.get(key)
    if (!made) this.#buckets.set(key, (made = relativeBuckets(length, this.#bucketing(stack === 'encoder'))))
    return made
  }

  /** The same for one sequence whose tokens stand in these columns. */
  bucketsOf(stack: 'encoder' | 'decoder', columns: ArrayLike<number>): Int32Array | undefined {
    if (this.#config.positions !== 'relative') return undefined
    return bucketsBetween(columns, this.#bucketing(stack === 'encoder'))
  }

  /** i32 [capacity] where positions are relative: the buckets of keys for a query of the decoder at `position`. */
  bucketsAt(position: number, capacity: number): Int32Array | undefined {
    if (this.#config.positions !== 'relative') return undefined
    return Int32Array.from({ length: capacity }, (_, j) => relativeBucket(j - position, this.#bucketing(false)))
  }

  override dispose(): void {
    super.dispose()
    for (const buckets of this.#buckets.values()) buckets.dispose()
    this.#buckets.clear()
  }

  #bucketing(bothWays: boolean) {
    const { relativeBuckets: buckets, relativeDistance: distance } = this.#config
    return { buckets, distance, bothWays }
  }

  get #target(): Stack {
    if (!this.decoder) throw new ArgumentError('EncoderDecoderModel: this is the encoder alone; open it with a decoder')
    return this.decoder
  }

  get #targetEmbedding(): Embedding {
    return this.decoderTokenEmbedding ?? this.tokenEmbedding
  }

  /** [decoderVocabSize] */
  get #logitsBias(): Tensor | undefined {
    return this.logitsBias && reshape(this.logitsBias, [-1])
  }

  /** [decoderVocabSize, hiddenSize] */
  get #projection(): Parameter {
    return (this.head ?? this.#targetEmbedding).weight
  }

  #embedded(table: Embedding, tokens: Tensor): Tensor {
    const x = table.forward(tokens)
    return this.#config.scaleEmbedding ? multiply(x, Math.sqrt(this.#config.hiddenSize)) : x
  }

  #scaled(hidden: Tensor): Tensor {
    return this.#config.scaleOutput ? multiply(hidden, 1 / Math.sqrt(this.#config.hiddenSize)) : hidden
  }

  #check(given: PackedTokens, options: Dropping & WatchingBoth): Dropping & WatchingBoth {
    checkOptions('EncoderDecoderModel', given, ['tokens', 'positions', 'offsets', 'buckets'])
    checkOptions('EncoderDecoderModel', options, ['dropout', 'onAttention', 'onCrossAttention'])
    for (const name of ['tokens', 'positions', 'offsets'] as const)
      checkTensor('EncoderDecoderModel', name, given[name])
    checkSource('EncoderDecoderModel', options.dropout)
    return options
  }
}

const rememberedBy = (memory: EncoderMemory['memory'], layer: number): Tensor | Remembered =>
  Array.isArray(memory) ? (memory as readonly Remembered[])[layer]! : (memory as Tensor)

export const encoderDecoder: Assembly<EncoderDecoderConfig, EncoderDecoderModel> = {
  resolve: resolveEncoderDecoderConfig,
  make: (config, options) => new EncoderDecoderModel(config, options),
}
