import { ArgumentError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { checkSource, dropWith, type Dropping } from '../nn/dropout.ts'
import { fillNormal, generatorOf, type Initialised } from '../nn/init.ts'
import type { CachePlace, KeyValueCache } from '../nn/key-value-cache.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add, embedding, linearCrossEntropy, matmul, reshape, transpose } from '../ops/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'
import {
  checkChoice,
  checkLayerConfig,
  derivedSizes,
  knownLayerConfig,
  layerDefaults,
  type LayerConfig,
} from './layer-config.ts'
import type { Assembly } from './families/family.ts'
import { makeNorm, TransformerLayer, type Norm } from './transformer-layer.ts'

/** Everything that tells one decoder family from another. */
export interface DecoderConfig extends LayerConfig {
  vocabSize: number
  /** Most tokens of a sequence. */
  context: number
  positions?: 'learned' | 'rotary'
  ropeTheta?: number
  /** The output projection is the token embedding. */
  tieEmbeddings?: boolean
}

const known = {
  ...knownLayerConfig,
  vocabSize: 'any',
  context: 'any',
  positions: 'any',
  ropeTheta: 'any',
  tieEmbeddings: 'boolean',
} as const satisfies Record<keyof DecoderConfig, unknown>

export type ResolvedDecoderConfig = Required<DecoderConfig>

/** Fills in defaults; throws ArgumentError for what makes no sense. Learned positions come with GPT-2's layout of weights. */
export function resolveDecoderConfig(config: DecoderConfig): ResolvedDecoderConfig {
  checkOptions('DecoderConfig', config, known)
  for (const name of ['vocabSize', 'context'] as const) checkInteger('DecoderConfig', name, config[name], 1)
  const likeGpt2 = (config.positions ?? 'learned') === 'learned'
  const resolved: ResolvedDecoderConfig = {
    ...layerDefaults,
    positions: 'learned',
    ropeTheta: 1e4,
    tieEmbeddings: true,
    joined: likeGpt2,
    inputsFirst: likeGpt2,
    ...derivedSizes('DecoderConfig', config),
    ...config,
  }
  checkLayerConfig('DecoderConfig', resolved)
  checkNumber('DecoderConfig', 'ropeTheta', resolved.ropeTheta, 1)
  checkChoice('DecoderConfig', 'positions', resolved.positions, ['learned', 'rotary'])
  if (resolved.positions === 'rotary' && resolved.headDim % 2 !== 0)
    throw new ArgumentError(`DecoderConfig: rotary positions need an even headDim, got ${resolved.headDim}`)
  return resolved
}

export interface DecoderInputs {
  /** i32 [batch, length]; [length] with a cache. */
  tokens: Tensor
  /** i32 [length]; 0, 1, … unless said. */
  positions?: Tensor
}

/** With a key-value cache: where this piece of the sequence, or of several, stands. */
export interface CacheInputs extends CachePlace {
  cache: KeyValueCache
  /** i32 [sequences]: how many tokens of each the cache holds then. */
  keyLengths: Tensor
}

const placeOf = ({ position, offsets, slots }: CacheInputs): CachePlace => ({ position, offsets, slots })

/** `model` if it is one, else ArgumentError. */
export function checkModel(operation: string, model: unknown): DecoderModel {
  if (!(model instanceof DecoderModel))
    throw new ArgumentError(`${operation}: expected a DecoderModel, got ${describe(model)}`)
  return model
}

/** A decoder-only language model: GPT, Llama and their relatives differ in `config` alone. */
export class DecoderModel extends Module {
  readonly tokenEmbedding: Embedding
  readonly positionEmbedding?: Embedding
  readonly layers: readonly TransformerLayer[]
  readonly norm: Norm
  readonly head?: Linear
  readonly #config: ResolvedDecoderConfig
  readonly #counts = new Map<number, Tensor>()

  constructor(config: DecoderConfig, options: Initialised = {}) {
    super()
    checkOptions('DecoderModel', options, ['random'])
    const resolved = resolveDecoderConfig(config)
    const { vocabSize, hiddenSize, numLayers, context, positions, tieEmbeddings } = resolved
    const random = generatorOf('DecoderModel', options)
    this.tokenEmbedding = new Embedding(vocabSize, hiddenSize, { random })
    if (positions === 'learned') this.positionEmbedding = new Embedding(context, hiddenSize, { random })
    const layer = {
      normPlacement: 'pre',
      rope: positions === 'rotary' ? { theta: resolved.ropeTheta } : undefined,
      random,
    } as const
    this.layers = Array.from({ length: numLayers }, () => new TransformerLayer(resolved, layer))
    this.norm = makeNorm(resolved)
    if (!tieEmbeddings) this.head = new Linear(hiddenSize, vocabSize, { bias: false, random })
    this.#config = resolved
  }

  get config(): ResolvedDecoderConfig {
    return this.#config
  }

  /**
   * First values as GPT-2 has them: N(0, 0.02²), projections into the residual stream N(0, (0.02/√(2·layers))²) (Radford
   * et al. 2019), biases 0.
   */
  initializeAsGpt2(options: Initialised = {}): this {
    checkOptions('initializeAsGpt2', options, ['random'])
    const random = generatorOf('initializeAsGpt2', options)
    const residualStd = 0.02 / Math.sqrt(2 * this.layers.length)
    for (const [name, parameter] of this.parameters()) {
      if (name.endsWith('.bias')) parameter.data().fill(0)
      else if (parameter.rank > 1)
        fillNormal(
          parameter,
          random,
          /\.(output|down)\.weight$/.test(name) ? residualStd : 0.02,
          this.#config.inputsFirst && name.startsWith('layers.'),
        )
    }
    return this
  }

  /** The last hidden states: [batch, length, hiddenSize], or [length, hiddenSize] with a cache. */
  hidden(inputs: DecoderInputs, options: Dropping & { cached?: CacheInputs } = {}): Tensor {
    checkOptions('DecoderModel', inputs, ['tokens', 'positions'])
    checkOptions('DecoderModel', options, ['dropout', 'cached'])
    const { tokens, positions } = inputs
    const { cached, dropout } = options
    checkTensor('DecoderModel', 'tokens', tokens)
    if (positions !== undefined) checkTensor('DecoderModel', 'positions', positions)
    checkSource('DecoderModel', dropout)
    let x = this.tokenEmbedding.forward(tokens)
    if (this.positionEmbedding)
      x = add(
        x,
        positions
          ? this.positionEmbedding.forward(positions)
          : this.positionEmbedding.forward(this.#counting(tokens.shape.at(-1)!)),
      )
    x = dropWith(x, this.#config.dropout, { dropout })
    this.layers.forEach((layer, index) => {
      x = layer.forward(x, {
        causal: true,
        positions,
        dropout,
        keyLengths: cached?.keyLengths,
        cache: cached && cached.cache.layer(index, placeOf(cached)),
      })
    })
    return this.norm.forward(x)
  }

  /** hidden […, hiddenSize] → logits […, vocabSize]. */
  logits(hidden: Tensor): Tensor {
    return this.head ? this.head.forward(hidden) : matmul(hidden, transpose(this.tokenEmbedding.weight))
  }

  /** Logits of every position: [batch, length, vocabSize]. */
  forward(inputs: DecoderInputs, options: Dropping = {}): Tensor {
    return this.logits(this.hidden(inputs, options))
  }

  /** Mean cross-entropy of the targets (i32, as many as tokens; −100 counts for nothing). */
  loss(inputs: DecoderInputs & { targets: Tensor }, options: Dropping = {}): Tensor {
    checkOptions('DecoderModel', inputs, ['tokens', 'positions', 'targets'])
    const { targets, ...given } = inputs
    checkTensor('DecoderModel', 'targets', targets)
    const hidden = reshape(this.hidden(given, options), [-1, this.#config.hiddenSize])
    return linearCrossEntropy(hidden, (this.head ?? this.tokenEmbedding).weight, reshape(targets, [-1]))
  }

  /** The logits of some rows (i32 [rows]) of hidden states [length, hiddenSize]: [rows, vocabSize]. */
  logitsOfRows(hidden: Tensor, rows: Tensor): Tensor {
    return this.logits(embedding(hidden, rows))
  }

  override dispose(): void {
    super.dispose()
    for (const positions of this.#counts.values()) positions.dispose()
    this.#counts.clear()
  }

  /** 0, 1, …: kept, as every program for this length reads it. */
  #counting(length: number): Tensor {
    checkInteger('DecoderModel', 'length', length, 0, this.#config.context)
    let positions = this.#counts.get(length)
    if (!positions) this.#counts.set(length, (positions = fromData(Int32Array.from({ length }, (_, i) => i))))
    return positions
  }
}

export const decoder: Assembly<DecoderConfig, DecoderModel> = {
  resolve: resolveDecoderConfig,
  make: (config, options) => new DecoderModel(config, options),
}
