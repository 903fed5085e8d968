import { ArgumentError, checkInteger, checkNumber, checkOptions } from '../errors.ts'
import {
  checkByLayer,
  checkChoice,
  checkLayerConfig,
  checkWindowLayers,
  derivedSizes,
  knownLayerConfig,
  layerDefaults,
  type LayerConfig,
} from './layer-config.ts'
import { checkRopeScaling, type RopeScaling } from './rope-scaling.ts'

/** Everything that tells one decoder family from another. */
export interface DecoderConfig extends LayerConfig {
  vocabSize: number
  /** Most tokens of a sequence. */
  context: number
  positions?: 'learned' | 'rotary'
  /** The base of rotary positions. */
  ropeTheta?: number
  /** How many elements of each head they turn, an even number; headDim unless said. */
  ropeDim?: number
  ropeScaling?: RopeScaling
  /** The base in layers with a window, without scaling (Gemma 3); 0: as in the others. */
  localRopeTheta?: number
  /** How many tokens, itself included, a token sees; 0: all before it. */
  window?: number
  /** Which layers have the window; all unless said. */
  windowLayers?: readonly boolean[]
  /** Where norms stand: before each part (pre), after it, before its residual sum (output), or both. */
  normPlacement?: 'pre' | 'output' | 'both'
  /** Added to the weights of norms: 1 for Gemma. */
  normOffset?: number
  /** The feed-forward part reads what attention reads, not what it gives (GPT-NeoX). */
  parallel?: boolean
  /** RMS norms of queries and keys: of each head, or over the whole width. */
  queryKeyNorm?: 'none' | 'heads' | 'all'
  /** Biases of the projections of queries, keys and values; `bias` unless said. */
  qkvBias?: boolean
  /** Of attention's output projection; qkvBias unless said. */
  outputBias?: boolean
  /** Of the feed-forward part; `bias` unless said. */
  mlpBias?: boolean
  /** A joined projection has the query, key and value of a head side by side, instead of all queries first (GPT-NeoX). */
  qkvByHead?: boolean
  /** Scores are divided by √scoreDim; headDim unless said. */
  scoreDim?: number
  /** Scores s of attention become c · tanh(s/c); 0: they stay. */
  scoreSoftcap?: number
  /** The same of logits. */
  logitSoftcap?: number
  /** Token embeddings are multiplied by √hiddenSize. */
  scaleEmbedding?: boolean
  /** Experts of the feed-forward part (mixture of experts); 0: it is one. */
  experts?: number
  /** How many of them a token goes through. */
  expertsPerToken?: number
  /** Their width between; intermediateSize unless said. */
  expertSize?: number
  /** Their weights sum to 1. */
  normalizeExperts?: boolean
  /** Width of an expert for every token; 0: none. */
  sharedExpertSize?: number
  /** Which layers have experts; all unless said. */
  expertLayers?: readonly boolean[]
  /** The output projection is the token embedding. */
  tieEmbeddings?: boolean
}

const known = {
  ...knownLayerConfig,
  vocabSize: 'any',
  context: 'any',
  positions: 'any',
  ropeTheta: 'any',
  ropeDim: 'any',
  ropeScaling: 'any',
  localRopeTheta: 'any',
  window: 'any',
  windowLayers: 'any',
  normPlacement: 'any',
  normOffset: 'any',
  parallel: 'boolean',
  queryKeyNorm: 'any',
  qkvBias: 'boolean',
  outputBias: 'boolean',
  mlpBias: 'boolean',
  qkvByHead: 'boolean',
  scoreDim: 'any',
  scoreSoftcap: 'any',
  logitSoftcap: 'any',
  scaleEmbedding: 'boolean',
  experts: 'any',
  expertsPerToken: 'any',
  expertSize: 'any',
  normalizeExperts: 'boolean',
  sharedExpertSize: 'any',
  expertLayers: 'any',
  tieEmbeddings: 'boolean',
} as const satisfies Record<keyof DecoderConfig, unknown>

export type ResolvedDecoderConfig = Required<DecoderConfig>

/** Fills in defaults; throws ArgumentError for what makes no sense. Learned positions come with GPT-2's layout of weights. */
export function resolveDecoderConfig(config: DecoderConfig): ResolvedDecoderConfig {
  checkOptions('DecoderConfig', config, known)
  for (const name of ['vocabSize', 'context'] as const) checkInteger('DecoderConfig', name, config[name], 1)
  const likeGpt2 = (config.positions ?? 'learned') === 'learned'
  const sizes = { ...derivedSizes('DecoderConfig', config), ...config }
  const { bias = layerDefaults.bias, qkvBias = bias, window = 0, experts = 0, numLayers } = config
  const resolved: ResolvedDecoderConfig = {
    ...layerDefaults,
    positions: 'learned',
    ropeTheta: 1e4,
    ropeDim: sizes.headDim,
    ropeScaling: { type: 'none' },
    localRopeTheta: 0,
    window,
    windowLayers: Array.from({ length: numLayers }, () => window !== 0),
    normPlacement: 'pre',
    normOffset: 0,
    parallel: false,
    queryKeyNorm: 'none',
    qkvBias,
    outputBias: qkvBias,
    mlpBias: bias,
    qkvByHead: false,
    scoreDim: sizes.headDim,
    scoreSoftcap: 0,
    logitSoftcap: 0,
    scaleEmbedding: false,
    experts,
    expertsPerToken: 2,
    expertSize: sizes.intermediateSize,
    normalizeExperts: true,
    sharedExpertSize: 0,
    expertLayers: Array.from({ length: numLayers }, () => experts !== 0),
    tieEmbeddings: true,
    joined: likeGpt2,
    inputsFirst: likeGpt2,
    ...sizes,
  }
  checkLayerConfig('DecoderConfig', resolved)
  checkLayers(resolved)
  checkExperts(resolved)
  checkChoice('DecoderConfig', 'positions', resolved.positions, ['learned', 'rotary'])
  checkRotary(resolved)
  return resolved
}

function checkRotary(config: ResolvedDecoderConfig): void {
  const { positions, ropeTheta, localRopeTheta, ropeDim, ropeScaling, headDim } = config
  checkNumber('DecoderConfig', 'ropeTheta', ropeTheta, 1)
  if (localRopeTheta !== 0) checkNumber('DecoderConfig', 'localRopeTheta', localRopeTheta, 1)
  checkInteger('DecoderConfig', 'ropeDim', ropeDim, 1, headDim)
  checkRopeScaling('DecoderConfig', ropeScaling, ropeDim >> 1)
  if (positions === 'rotary' && ropeDim % 2 !== 0)
    throw new ArgumentError(
      `DecoderConfig: rotary positions need an even ${ropeDim === headDim ? 'headDim' : 'ropeDim'}, got ${ropeDim}`,
    )
  if (ropeScaling.type === 'dynamic' && ropeDim < 4)
    throw new ArgumentError(`DecoderConfig: dynamic ropeScaling needs a ropeDim of at least 4, got ${ropeDim}`)
}

function checkLayers(config: ResolvedDecoderConfig): void {
  const { qkvByHead, joined, numHeads, numKeyValueHeads } = config
  checkChoice('DecoderConfig', 'normPlacement', config.normPlacement, ['pre', 'output', 'both'])
  checkChoice('DecoderConfig', 'queryKeyNorm', config.queryKeyNorm, ['none', 'heads', 'all'])
  checkNumber('DecoderConfig', 'normOffset', config.normOffset)
  checkWindowLayers('DecoderConfig', config)
  for (const name of ['scoreSoftcap', 'logitSoftcap'] as const) checkNumber('DecoderConfig', name, config[name], 0)
  if (!(checkNumber('DecoderConfig', 'scoreDim', config.scoreDim, 0) > 0))
    throw new ArgumentError('DecoderConfig: scoreDim should be above 0, got 0')
  if (qkvByHead && (!joined || numHeads !== numKeyValueHeads))
    throw new ArgumentError(
      'DecoderConfig: qkvByHead goes with joined projections and as many key-value heads as heads',
    )
  if (config.normOffset !== 0 && config.norm !== 'rms')
    throw new ArgumentError(`DecoderConfig: normOffset goes with norm 'rms', got '${config.norm}'`)
  if (config.parallel && config.normPlacement !== 'pre')
    throw new ArgumentError(`DecoderConfig: parallel goes with normPlacement 'pre', got '${config.normPlacement}'`)
}

function checkExperts(config: ResolvedDecoderConfig): void {
  const { experts, expertsPerToken, expertLayers, numLayers } = config
  checkInteger('DecoderConfig', 'experts', experts, 0)
  checkInteger('DecoderConfig', 'expertsPerToken', expertsPerToken, 1, experts || undefined)
  checkInteger('DecoderConfig', 'expertSize', config.expertSize, 1)
  checkInteger('DecoderConfig', 'sharedExpertSize', config.sharedExpertSize, 0)
  checkByLayer('DecoderConfig', 'expertLayers', expertLayers, numLayers)
  if (!experts && expertLayers.includes(true))
    throw new ArgumentError('DecoderConfig: expertLayers need experts, how many there are')
  if (experts && (!config.gated || config.mlpBias))
    throw new ArgumentError('DecoderConfig: experts are gated and have no biases; set gated: true, mlpBias: false')
}
