import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { maxLayers } from '../nn/module.ts'
import {
  checkChoice,
  checkLayerConfig,
  derivedSizes,
  knownLayerConfig,
  layerDefaults,
  type LayerConfig,
} from './layer-config.ts'

/** Everything that tells one encoder-decoder family from another. LayerConfig's own fields are the encoder's. */
export interface EncoderDecoderConfig extends LayerConfig {
  vocabSize: number
  /** Of the target's tokens, where those have an embedding of their own; vocabSize unless said. */
  decoderVocabSize?: number
  /** One embedding for the tokens of source and target; true unless said. */
  shareEmbeddings?: boolean
  /** As many as those of the encoder unless said, all of these. */
  numDecoderLayers?: number
  numDecoderHeads?: number
  decoderIntermediateSize?: number
  /** Norms stand before each part of a layer ('pre') or after its residual sum ('post'). */
  normPlacement?: 'pre' | 'post'
  /** Scores of attention are divided by √headDim; true unless positions are relative. */
  scaleScores?: boolean
  /** A norm after the embeddings. */
  embeddingNorm?: boolean
  /** A norm after the last layer of each stack; with normPlacement 'pre' unless said. */
  finalNorm?: boolean
  /**
   * 'learned': an embedding of each position; 'sinusoidal': sines and cosines (Vaswani et al. 2017, section 3.5), all sines
   * first; 'relative': a number for each head and bucket of distances, added to the scores of every layer (Raffel et
   * al. 2020).
   */
  positions?: 'learned' | 'sinusoidal' | 'relative'
  /** Most tokens of a sequence; relative positions have no end. */
  context?: number
  /** The row of the position embedding that the first token has. */
  firstPosition?: number
  relativeBuckets?: number
  /** From this distance on there is one bucket. */
  relativeDistance?: number
  /** Token embeddings are multiplied by √hiddenSize. */
  scaleEmbedding?: boolean
  /** The output projection is the token embedding of the target. */
  tieEmbeddings?: boolean
  /** What is projected is first divided by √hiddenSize; with tieEmbeddings unless said, where positions are relative. */
  scaleOutput?: boolean
  /** Numbers are added to the logits. They are not trained. */
  logitsBias?: boolean
  /** What stands where there is no token, −1: nothing; `learnsPadding` false: its embedding gets no gradient. */
  padToken?: number
  learnsPadding?: boolean
  /** What targets begin with; −1: with their own last token, as mBART's begin with their language. */
  startToken?: number
}

export type ResolvedEncoderDecoderConfig = Required<EncoderDecoderConfig>

const known = {
  ...knownLayerConfig,
  vocabSize: 'any',
  decoderVocabSize: 'any',
  shareEmbeddings: 'boolean',
  numDecoderLayers: 'any',
  numDecoderHeads: 'any',
  decoderIntermediateSize: 'any',
  normPlacement: 'any',
  scaleScores: 'boolean',
  embeddingNorm: 'boolean',
  finalNorm: 'boolean',
  positions: 'any',
  context: 'any',
  firstPosition: 'any',
  relativeBuckets: 'any',
  relativeDistance: 'any',
  scaleEmbedding: 'boolean',
  tieEmbeddings: 'boolean',
  scaleOutput: 'boolean',
  logitsBias: 'boolean',
  padToken: 'any',
  learnsPadding: 'boolean',
  startToken: 'any',
} as const satisfies Record<keyof EncoderDecoderConfig, unknown>

/** Fills in defaults; throws ArgumentError for what makes no sense. */
export function resolveEncoderDecoderConfig(config: EncoderDecoderConfig): ResolvedEncoderDecoderConfig {
  const operation = 'EncoderDecoderConfig'
  checkOptions(operation, config, known)
  const sizes = { ...derivedSizes(operation, config), ...config }
  const tieEmbeddings = config.tieEmbeddings ?? true
  const resolved: ResolvedEncoderDecoderConfig = {
    ...layerDefaults,
    decoderVocabSize: config.vocabSize,
    shareEmbeddings: true,
    numDecoderLayers: config.numLayers,
    numDecoderHeads: config.numHeads,
    decoderIntermediateSize: sizes.intermediateSize,
    normPlacement: 'post',
    scaleScores: config.positions !== 'relative',
    embeddingNorm: false,
    finalNorm: config.normPlacement === 'pre',
    positions: 'learned',
    context: config.positions === 'relative' ? unlimited : 1024,
    firstPosition: 0,
    relativeBuckets: 32,
    relativeDistance: 128,
    scaleEmbedding: false,
    tieEmbeddings,
    scaleOutput: config.positions === 'relative' && tieEmbeddings,
    logitsBias: false,
    padToken: -1,
    learnsPadding: true,
    startToken: -1,
    ...sizes,
  }
  checkLayerConfig(operation, resolved)
  checkLayerConfig(operation, decoderLayerConfig(resolved))
  checkChoice(operation, 'normPlacement', resolved.normPlacement, ['pre', 'post'])
  checkChoice(operation, 'positions', resolved.positions, ['learned', 'sinusoidal', 'relative'])
  for (const name of ['vocabSize', 'decoderVocabSize', 'context', 'relativeDistance'] as const)
    checkInteger(operation, name, resolved[name], 1)
  checkInteger(operation, 'numDecoderLayers', resolved.numDecoderLayers, 1, maxLayers)
  checkInteger(operation, 'firstPosition', resolved.firstPosition, 0)
  checkInteger(operation, 'relativeBuckets', resolved.relativeBuckets, 4)
  for (const name of ['padToken', 'startToken'] as const)
    checkInteger(operation, name, resolved[name], -1, resolved.decoderVocabSize - 1)
  if (resolved.relativeBuckets % 2 !== 0 || resolved.relativeDistance <= resolved.relativeBuckets >> 1)
    throw new ArgumentError(
      `${operation}: relativeBuckets should be even, and its half below relativeDistance, got ${describe(resolved.relativeBuckets)} and ${describe(resolved.relativeDistance)}`,
    )
  if (resolved.shareEmbeddings && resolved.decoderVocabSize !== resolved.vocabSize)
    throw new ArgumentError(
      `${operation}: decoderVocabSize (${resolved.decoderVocabSize}) should be vocabSize (${resolved.vocabSize}) where embeddings are shared`,
    )
  return resolved
}

const unlimited = 2 ** 31 - 1

/** That of the layers of the decoder. */
export function decoderLayerConfig(config: ResolvedEncoderDecoderConfig): ResolvedEncoderDecoderConfig {
  const { hiddenSize, numHeads, headDim, numDecoderHeads } = config
  const like = numDecoderHeads === numHeads
  return {
    ...config,
    numLayers: config.numDecoderLayers,
    numHeads: numDecoderHeads,
    numKeyValueHeads: like ? config.numKeyValueHeads : numDecoderHeads,
    headDim: like ? headDim : hiddenSize / numDecoderHeads,
    intermediateSize: config.decoderIntermediateSize,
  }
}
