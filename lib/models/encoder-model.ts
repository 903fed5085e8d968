import { ArgumentError, checkOptions } from '../errors.ts'
import { checkSource, dropWith, type Dropping } from '../nn/dropout.ts'
import { generatorOf, type Initialised } from '../nn/init.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add, reshape, transpose } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { resolveEncoderConfig, type EncoderConfig, type ResolvedEncoderConfig } from './encoder-config.ts'
import type { Assembly } from './families/family.ts'
import { bucketsBetween, relativeBuckets } from './relative-positions.ts'
import {
  makeNorm,
  sharedFrequencies,
  TransformerLayer,
  type LayerOptions,
  type Norm,
  type Watching,
} from './transformer-layer.ts'

export type { EncoderConfig, ResolvedEncoderConfig } from './encoder-config.ts'

export interface EncoderInputs {
  /** i32 [tokens]: sequences one after another. */
  tokens: Tensor
  /** i32 [tokens]: rows of the position embedding, or rotary positions. */
  positions: Tensor
  /** i32 [tokens]: kinds of segments, where the model has them. */
  types?: Tensor | undefined
  /** i32 [sequences + 1]: where sequences begin and end. */
  offsets: Tensor
  /** i32 [longest, longest]: `bucketsFor` the longest sequence or a longer one, where the model has some. */
  buckets?: Tensor | undefined
  /** f32 [longest, longest]: what hides keys in place of the window, where places do not tell distances. */
  windowBias?: Tensor | undefined
}
const inputNames = ['tokens', 'positions', 'types', 'offsets', 'buckets', 'windowBias'] as const

/** Distances from here on have one bucket (MPNet). */
const farDistance = 128

/**
 * BERT and its relatives (Devlin et al. 2019): the sum of token, position and segment embeddings, normalised, then
 * layers that see every token. What tells one from another is in `config` alone.
 */
export class EncoderModel extends Module {
  readonly tokenEmbedding: Embedding
  readonly positionEmbedding?: Embedding
  readonly typeEmbedding?: Embedding
  readonly embeddingNorm: Norm
  readonly embeddingProjection?: Linear
  /** [relativeBuckets, numHeads], for every layer. */
  readonly relativeBias?: Embedding
  readonly layers: readonly TransformerLayer[]
  readonly norm?: Norm
  readonly #config: ResolvedEncoderConfig
  readonly #buckets = new Map<number, Tensor>()

  constructor(config: EncoderConfig, options: Initialised = {}) {
    super()
    checkOptions('EncoderModel', options, ['random'])
    const resolved = resolveEncoderConfig(config)
    const { vocabSize, hiddenSize, embeddingSize, typeVocabSize, normPlacement } = resolved
    const random = generatorOf('EncoderModel', options)
    this.tokenEmbedding = new Embedding(vocabSize, embeddingSize, { random })
    if (resolved.positions === 'learned')
      this.positionEmbedding = new Embedding(resolved.paddingToken + 1 + resolved.context, embeddingSize, { random })
    if (typeVocabSize) this.typeEmbedding = new Embedding(typeVocabSize, embeddingSize, { random })
    this.embeddingNorm = makeNorm({ ...resolved, hiddenSize: embeddingSize })
    if (embeddingSize !== hiddenSize) this.embeddingProjection = new Linear(embeddingSize, hiddenSize, { random })
    if (resolved.relativeBuckets)
      this.relativeBias = new Embedding(resolved.relativeBuckets, resolved.numHeads, { random })
    this.layers = resolved.windowLayers.map(
      (_, index) => new TransformerLayer(resolved, { ...layerOptions(resolved, index), random }),
    )
    if (normPlacement === 'pre') this.norm = makeNorm(resolved)
    this.#config = resolved
  }

  get config(): ResolvedEncoderConfig {
    return this.#config
  }

  /** Whether a token may look at how many tokens are between it and another: padding then stands at the ends only. */
  get countsDistances(): boolean {
    const { relativeBuckets, window } = this.#config
    return relativeBuckets !== 0 || window !== 0
  }

  /** i32 [size, size], size being at least the number of `columns`: the buckets of one sequence whose tokens stand there. */
  bucketsOf(columns: ArrayLike<number>): Int32Array | undefined {
    const { relativeBuckets: buckets } = this.#config
    return buckets ? bucketsBetween(columns, { buckets, distance: farDistance, bothWays: true }) : undefined
  }

  /** i32 [size, size] for sequences of up to `length` tokens, where the model needs them. They belong to the model. */
  bucketsFor(length: number): Tensor | undefined {
    const { relativeBuckets: buckets } = this.#config
    if (!buckets) return undefined
    const size = 2 ** Math.ceil(Math.log2(length))
    let kept = this.#buckets.get(size)
    if (!kept)
      this.#buckets.set(size, (kept = relativeBuckets(size, { buckets, distance: farDistance, bothWays: true })))
    return kept
  }

  /** The embeddings and what each layer makes of them: numLayers + 1 tensors [tokens, hiddenSize], the last one final. */
  hiddenStates(inputs: EncoderInputs, options: Dropping & Watching = {}): Tensor[] {
    checkOptions('EncoderModel', inputs, inputNames)
    checkOptions('EncoderModel', options, ['dropout', 'onAttention'])
    const { tokens, positions, types, offsets, windowBias } = inputs
    const { dropout, onAttention } = options
    for (const name of inputNames)
      if (inputs[name] !== undefined || ['tokens', 'positions', 'offsets'].includes(name))
        checkTensor('EncoderModel', name, inputs[name])
    checkSource('EncoderModel', dropout)
    let x = this.tokenEmbedding.forward(tokens)
    if (this.positionEmbedding) x = add(x, this.positionEmbedding.forward(positions))
    if (this.typeEmbedding && types) x = add(x, this.typeEmbedding.forward(types))
    x = dropWith(this.embeddingNorm.forward(x), this.#config.dropout, { dropout })
    if (this.embeddingProjection) x = this.embeddingProjection.forward(x)
    const states = [x]
    const attending = { dropout, offsets, positions, windowBias, bias: this.#scoreBias(inputs.buckets) }
    const frequencies = sharedFrequencies(this.layers)
    this.layers.forEach((layer, index) => {
      x = layer.forward(x, { ...attending, frequencies: frequencies[index], onAttention: onAttention?.(index) })
      states.push(x)
    })
    if (this.norm) states[states.length - 1] = this.norm.forward(x)
    return states
  }

  /** [1, heads, longest, longest] */
  #scoreBias(buckets: Tensor | undefined): Tensor | undefined {
    if (!this.relativeBias) return undefined
    if (!buckets) throw new ArgumentError('EncoderModel: relative positions need buckets; bucketsFor makes them')
    const byHead = transpose(this.relativeBias.forward(buckets), [2, 0, 1])
    return reshape(byHead, [1, ...byHead.shape])
  }

  override dispose(): void {
    super.dispose()
    for (const buckets of this.#buckets.values()) buckets.dispose()
    this.#buckets.clear()
  }
}

function layerOptions(config: ResolvedEncoderConfig, index: number): LayerOptions {
  const { normPlacement, attentionBias, window, ropeTheta, localRopeTheta } = config
  const hasWindow = config.windowLayers[index]!
  const theta = (hasWindow && localRopeTheta) || ropeTheta
  return {
    normPlacement,
    readsNormalised: normPlacement === 'pre' && index === 0,
    rope: config.positions === 'rotary' ? { theta } : undefined,
    attention: { bias: attentionBias, outputBias: attentionBias, ...(hasWindow && { window }) },
    mlpBias: config.mlpBias,
    mlpJoined: config.mlpJoined,
  }
}

export const encoder: Assembly<EncoderConfig, EncoderModel> = {
  resolve: resolveEncoderConfig,
  make: (config, options) => new EncoderModel(config, options),
}
