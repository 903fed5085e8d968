import { ArgumentError, checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { checkActivation } from '../ops/matmul.ts'
import type { Activation } from '../ops/index.ts'
import {
  checkChoice,
  checkLayerConfig,
  checkWindowLayers,
  derivedSizes,
  knownLayerConfig,
  layerDefaults,
  type LayerConfig,
} from './layer-config.ts'
import { poolings, type Pooling } from './pooling.ts'

/** Everything that tells one encoder family from another. */
export interface EncoderConfig extends LayerConfig {
  vocabSize: number
  /** Most tokens of a sequence. */
  context: number
  positions?: 'learned' | 'rotary'
  /**
   * −1: positions are the columns where tokens stand. Otherwise positions count the tokens that are not this one, and
   * begin behind its id, the position of the padding (RoBERTa).
   */
  paddingToken?: number
  /** Numbers for each head and bucket of distances, added to the scores of every layer (MPNet); 0: none. */
  relativeBuckets?: number
  /** The base of rotary positions. */
  ropeTheta?: number
  /** The base in layers with a window; 0: as in the others. */
  localRopeTheta?: number
  /** How many tokens around it a token sees, half of them on either side; 0: all. */
  window?: number
  /** Which layers have the window; all unless said. */
  windowLayers?: readonly boolean[]
  /** Kinds of segments, each with an embedding of its own; 0: none. */
  typeVocabSize?: number
  /** Width of the embeddings, projected to hiddenSize where it is another (ELECTRA); hiddenSize unless said. */
  embeddingSize?: number
  /** Norms stand after each residual sum, or before each part: then a norm ends the stack, and the first part has none. */
  normPlacement?: 'post' | 'pre'
  /** Biases of attention; `bias` unless said. */
  attentionBias?: boolean
  /** Of the feed-forward part; `bias` unless said. */
  mlpBias?: boolean
  /** The feed-forward part's projections are one; `joined` unless said. */
  mlpJoined?: boolean
  /** Of the layer before a head's output, where the family lets a configuration choose (ModernBERT). */
  headBias?: boolean
  headActivation?: Activation
  headPooling?: Pooling
}

const known = {
  ...knownLayerConfig,
  vocabSize: 'any',
  context: 'any',
  positions: 'any',
  paddingToken: 'any',
  relativeBuckets: 'any',
  ropeTheta: 'any',
  localRopeTheta: 'any',
  window: 'any',
  windowLayers: 'any',
  typeVocabSize: 'any',
  embeddingSize: 'any',
  normPlacement: 'any',
  attentionBias: 'boolean',
  mlpBias: 'boolean',
  mlpJoined: 'boolean',
  headBias: 'boolean',
  headActivation: 'any',
  headPooling: 'any',
} as const satisfies Record<keyof EncoderConfig, unknown>

export type ResolvedEncoderConfig = Required<EncoderConfig>

const operation = 'EncoderConfig'

/** Fills in defaults; throws ArgumentError for what makes no sense. */
export function resolveEncoderConfig(config: EncoderConfig): ResolvedEncoderConfig {
  checkOptions(operation, config, known)
  for (const name of ['vocabSize', 'context'] as const) checkInteger(operation, name, config[name], 1)
  const sizes = { ...derivedSizes(operation, config), ...config }
  const { bias = layerDefaults.bias, joined = layerDefaults.joined, window = 0, numLayers } = config
  const resolved: ResolvedEncoderConfig = {
    ...layerDefaults,
    normEpsilon: 1e-12,
    positions: 'learned',
    paddingToken: -1,
    relativeBuckets: 0,
    ropeTheta: 1e4,
    localRopeTheta: 0,
    window,
    windowLayers: Array.from({ length: numLayers }, () => window !== 0),
    typeVocabSize: 0,
    embeddingSize: config.hiddenSize,
    normPlacement: 'post',
    attentionBias: bias,
    mlpBias: bias,
    mlpJoined: joined,
    headBias: true,
    headActivation: config.activation ?? layerDefaults.activation,
    headPooling: 'first',
    ...sizes,
  }
  checkLayerConfig(operation, resolved)
  checkWindowLayers(operation, resolved)
  checkPositions(resolved)
  checkInteger(operation, 'typeVocabSize', resolved.typeVocabSize, 0)
  checkInteger(operation, 'embeddingSize', resolved.embeddingSize, 1)
  checkChoice(operation, 'normPlacement', resolved.normPlacement, ['post', 'pre'])
  checkActivation(operation, resolved.headActivation)
  checkChoice(operation, 'headPooling', resolved.headPooling, poolings)
  return resolved
}

function checkPositions({ positions, headDim, relativeBuckets, ...config }: ResolvedEncoderConfig): void {
  checkChoice(operation, 'positions', positions, ['learned', 'rotary'])
  checkInteger(operation, 'paddingToken', config.paddingToken, -1)
  checkNumber(operation, 'ropeTheta', config.ropeTheta, 1)
  if (config.localRopeTheta !== 0) checkNumber(operation, 'localRopeTheta', config.localRopeTheta, 1)
  if (positions === 'rotary' && headDim % 2 !== 0)
    throw new ArgumentError(`${operation}: rotary positions need an even headDim, got ${headDim}`)
  checkInteger(operation, 'relativeBuckets', relativeBuckets, 0)
  if (relativeBuckets !== 0 && (relativeBuckets % 4 !== 0 || relativeBuckets > 256))
    throw new ArgumentError(`${operation}: relativeBuckets should be a multiple of 4 up to 256, got ${relativeBuckets}`)
}
