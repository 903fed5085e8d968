import { checkInteger, checkOptions } from '../errors.ts'
import { checkSource, dropWith, type Dropping } from '../nn/dropout.ts'
import { generatorOf, type Initialised } from '../nn/init.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import { LayerNorm } from '../nn/norms.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Assembly } from './families/family.ts'
import { checkLayerConfig, derivedSizes, knownLayerConfig, layerDefaults, type LayerConfig } from './layer-config.ts'
import { TransformerLayer } from './transformer-layer.ts'

/** Everything that tells one encoder family from another. */
export interface EncoderConfig extends LayerConfig {
  vocabSize: number
  /** Most tokens of a sequence. */
  context: number
  /** Kinds of segments, each with an embedding of its own; 0: none. */
  typeVocabSize?: number
  /**
   * −1: positions are the columns where tokens stand. Otherwise positions count the tokens that are not this one, and
   * begin behind its id, the position of the padding (RoBERTa).
   */
  paddingToken?: number
  /** Width of the embeddings, projected to hiddenSize where it is another (ELECTRA); hiddenSize unless said. */
  embeddingSize?: number
}

const known = {
  ...knownLayerConfig,
  vocabSize: 'any',
  context: 'any',
  typeVocabSize: 'any',
  paddingToken: 'any',
  embeddingSize: 'any',
} as const satisfies Record<keyof EncoderConfig, unknown>

export type ResolvedEncoderConfig = Required<EncoderConfig>

/** Fills in defaults; throws ArgumentError for what makes no sense. */
export function resolveEncoderConfig(config: EncoderConfig): ResolvedEncoderConfig {
  checkOptions('EncoderConfig', config, known)
  for (const name of ['vocabSize', 'context'] as const) checkInteger('EncoderConfig', name, config[name], 1)
  const resolved: ResolvedEncoderConfig = {
    ...layerDefaults,
    normEpsilon: 1e-12,
    typeVocabSize: 0,
    paddingToken: -1,
    embeddingSize: config.hiddenSize,
    ...derivedSizes('EncoderConfig', config),
    ...config,
  }
  checkLayerConfig('EncoderConfig', resolved)
  checkInteger('EncoderConfig', 'typeVocabSize', resolved.typeVocabSize, 0)
  checkInteger('EncoderConfig', 'embeddingSize', resolved.embeddingSize, 1)
  checkInteger('EncoderConfig', 'paddingToken', resolved.paddingToken, -1)
  return resolved
}

export interface EncoderInputs {
  /** i32 [tokens]: sequences one after another. */
  tokens: Tensor
  /** i32 [tokens]: rows of the position embedding. */
  positions: Tensor
  /** i32 [tokens]: kinds of segments, where the model has them. */
  types?: Tensor | undefined
  /** i32 [sequences + 1]: where sequences begin and end. */
  offsets: Tensor
}

/**
 * BERT and its relatives (Devlin et al. 2019): the sum of token, position and segment embeddings, normalised, then
 * layers with norms after each residual sum.
 */
export class EncoderModel extends Module {
  readonly tokenEmbedding: Embedding
  readonly positionEmbedding: Embedding
  readonly typeEmbedding?: Embedding
  readonly embeddingNorm: LayerNorm
  readonly embeddingProjection?: Linear
  readonly layers: readonly TransformerLayer[]
  readonly #config: ResolvedEncoderConfig

  constructor(config: EncoderConfig, options: Initialised = {}) {
    super()
    checkOptions('EncoderModel', options, ['random'])
    const resolved = resolveEncoderConfig(config)
    const { vocabSize, hiddenSize, embeddingSize, typeVocabSize, numLayers, normEpsilon: epsilon } = resolved
    const random = generatorOf('EncoderModel', options)
    this.tokenEmbedding = new Embedding(vocabSize, embeddingSize, { random })
    this.positionEmbedding = new Embedding(resolved.paddingToken + 1 + resolved.context, embeddingSize, { random })
    if (typeVocabSize) this.typeEmbedding = new Embedding(typeVocabSize, embeddingSize, { random })
    this.embeddingNorm = new LayerNorm(embeddingSize, { epsilon })
    if (embeddingSize !== hiddenSize) this.embeddingProjection = new Linear(embeddingSize, hiddenSize, { random })
    this.layers = Array.from(
      { length: numLayers },
      () => new TransformerLayer(resolved, { normPlacement: 'post', random }),
    )
    this.#config = resolved
  }

  get config(): ResolvedEncoderConfig {
    return this.#config
  }

  /** The embeddings and what each layer makes of them: numLayers + 1 tensors [tokens, hiddenSize]. */
  hiddenStates(inputs: EncoderInputs, options: Dropping = {}): Tensor[] {
    checkOptions('EncoderModel', inputs, ['tokens', 'positions', 'types', 'offsets'])
    checkOptions('EncoderModel', options, ['dropout'])
    const { tokens, positions, types, offsets } = inputs
    const { dropout } = options
    checkTensor('EncoderModel', 'tokens', tokens)
    checkTensor('EncoderModel', 'positions', positions)
    checkTensor('EncoderModel', 'offsets', offsets)
    if (types !== undefined) checkTensor('EncoderModel', 'types', types)
    checkSource('EncoderModel', dropout)
    let x = add(this.tokenEmbedding.forward(tokens), this.positionEmbedding.forward(positions))
    if (this.typeEmbedding && types) x = add(x, this.typeEmbedding.forward(types))
    x = dropWith(this.embeddingNorm.forward(x), this.#config.dropout, { dropout })
    if (this.embeddingProjection) x = this.embeddingProjection.forward(x)
    const states = [x]
    for (const layer of this.layers) states.push((x = layer.forward(x, { dropout, offsets })))
    return states
  }
}

export const encoder: Assembly<EncoderConfig, EncoderModel> = {
  resolve: resolveEncoderConfig,
  make: (config, options) => new EncoderModel(config, options),
}
