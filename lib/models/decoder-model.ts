import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { checkSource, dropWith, type Dropping } from '../nn/dropout.ts'
import { fillNormal, generatorOf, type Initialised } from '../nn/init.ts'
import type { CachePlace, KeyValueCache } from '../nn/key-value-cache.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import type { RotaryConfig } from '../nn/multi-head-attention.ts'
import { project } from '../nn/project.ts'
import { checkTensor } from '../ops/define-op.ts'
import { add, crossEntropy, embedding, linearCrossEntropy, multiply, reshape, tanh } from '../ops/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'
import { resolveDecoderConfig, type DecoderConfig, type ResolvedDecoderConfig } from './decoder-config.ts'
import type { Assembly } from './families/family.ts'
import { attentionFactorOf, dependsOnLength, ropeFrequencies, type RopeScaling } from './rope-scaling.ts'
import {
  makeNorm,
  sharedFrequencies,
  TransformerLayer,
  type LayerOptions,
  type Norm,
  type Watching,
} from './transformer-layer.ts'

export type { DecoderConfig, ResolvedDecoderConfig } from './decoder-config.ts'

export interface DecoderInputs {
  /** i32 [batch, length]; [length] with a cache; [tokens] with offsets. */
  tokens: Tensor
  /** i32 [length] or [batch, length]; 0, 1, … unless said. With offsets: i32 [tokens]. */
  positions?: Tensor | undefined
  /** i32 [sequences + 1]: sequences one after another, as ops.attention takes them; with positions. */
  offsets?: Tensor | undefined
  /** f32 [n]: `rotaryFrequencies` of the longest sequence, where it gives some; those of the length of tokens unless said. */
  frequencies?: Tensor | undefined
  /** f32 [longest, longest]: what hides keys in place of the window, where places do not tell distances. */
  windowBias?: Tensor | undefined
}
const inputNames = ['tokens', 'positions', 'offsets', 'frequencies', 'windowBias'] as const

/** With a key-value cache: where this piece of the sequence, or of several, stands. */
export interface CacheInputs extends CachePlace {
  cache: KeyValueCache
  /** i32 [sequences]: how many tokens of each the cache holds then. */
  keyLengths: Tensor
}

const placeOf = ({ position, offsets, slots }: CacheInputs): CachePlace => ({ position, offsets, slots })

export interface DecoderModelOptions extends Initialised {
  /** Whether there is an output projection, where it is not the token embedding; true unless said. */
  head?: boolean
}

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
  readonly #frequencies = new Map<number, Tensor>()

  constructor(config: DecoderConfig, options: DecoderModelOptions = {}) {
    super()
    checkOptions('DecoderModel', options, { random: 'any', head: 'boolean' })
    const resolved = resolveDecoderConfig(config)
    const { vocabSize, hiddenSize, context, positions, tieEmbeddings } = resolved
    const random = generatorOf('DecoderModel', options)
    this.tokenEmbedding = new Embedding(vocabSize, hiddenSize, { random })
    if (positions === 'learned') this.positionEmbedding = new Embedding(context, hiddenSize, { random })
    this.layers = resolved.windowLayers.map(
      (windowed, index) => new TransformerLayer(resolved, { ...layerOptions(resolved, windowed, index), random }),
    )
    this.norm = makeNorm(resolved, resolved)
    if (!tieEmbeddings && (options.head ?? true)) this.head = new Linear(hiddenSize, vocabSize, { bias: false, random })
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

  /**
   * Frequencies of the rotary positions of sequences of `length` tokens, where they depend on it (dynamic scaling,
   * LongRoPE); else undefined.
   */
  rotaryFrequencies(length: number): Float32Array | undefined {
    const { positions, ropeTheta, ropeDim, ropeScaling, context } = this.#config
    checkInteger('DecoderModel', 'length', length, 0, context)
    if (positions !== 'rotary' || !dependsOnLength(ropeScaling)) return undefined
    return Float32Array.from(ropeFrequencies(ropeTheta, ropeDim, ropeScaling, length))
  }

  /** Whether keys of `before` tokens are of no use to a sequence that grows to `after`: they were turned for short ones (LongRoPE). */
  outgrows(before: number, after: number): boolean {
    for (const [name, length] of Object.entries({ before, after })) checkInteger('DecoderModel', name, length, 0)
    const { positions, ropeScaling } = this.#config
    if (positions !== 'rotary' || ropeScaling.type !== 'longrope') return false
    return before > 0 && before <= ropeScaling.originalContext && after > ropeScaling.originalContext
  }

  /** The last hidden states: [batch, length, hiddenSize], or [tokens, hiddenSize] with a cache or offsets. */
  hidden(inputs: DecoderInputs, options: Dropping & { cached?: CacheInputs } = {}): Tensor {
    return this.hiddenStates(inputs, options).at(-1)!
  }

  /** The embeddings, what each layer but the last makes of them, and the last hidden states. */
  hiddenStates(inputs: DecoderInputs, options: Dropping & Watching & { cached?: CacheInputs } = {}): Tensor[] {
    checkOptions('DecoderModel', inputs, inputNames)
    checkOptions('DecoderModel', options, ['dropout', 'cached', 'onAttention'])
    const { tokens, positions, offsets, windowBias } = inputs
    const { cached, dropout, onAttention } = options
    checkTensor('DecoderModel', 'tokens', tokens)
    for (const name of ['positions', 'offsets', 'frequencies', 'windowBias'] as const)
      if (inputs[name] !== undefined) checkTensor('DecoderModel', name, inputs[name])
    if (offsets && !positions) throw new ArgumentError('DecoderModel: offsets need positions, those of the tokens')
    checkSource('DecoderModel', dropout)
    const frequencies = inputs.frequencies ?? (cached ? undefined : this.#frequenciesOf(tokens.shape.at(-1)!))
    const { scaleEmbedding, hiddenSize, localRopeTheta, windowLayers, dropout: probability } = this.#config
    let x = this.tokenEmbedding.forward(tokens)
    if (scaleEmbedding) x = multiply(x, Math.sqrt(hiddenSize))
    if (this.positionEmbedding)
      x = add(x, this.positionEmbedding.forward(positions ?? this.#counting(tokens.shape.at(-1)!)))
    x = dropWith(x, probability, { dropout })
    const states = [x]
    const own = sharedFrequencies(this.layers)
    this.layers.forEach((layer, index) => {
      x = layer.forward(x, {
        causal: true,
        positions,
        offsets,
        windowBias,
        onAttention: onAttention?.(index),
        frequencies: (localRopeTheta && windowLayers[index] ? undefined : frequencies) ?? own[index],
        dropout,
        keyLengths: cached?.keyLengths,
        cache: cached && cached.cache.layer(index, placeOf(cached)),
      })
      states.push(x)
    })
    states[states.length - 1] = this.norm.forward(x)
    return states
  }

  /** hidden […, hiddenSize] → logits […, vocabSize]. */
  logits(hidden: Tensor): Tensor {
    const logits = this.head ? this.head.forward(hidden) : project(hidden, this.tokenEmbedding.weight)
    const { logitSoftcap } = this.#config
    return logitSoftcap ? multiply(tanh(multiply(logits, 1 / logitSoftcap)), logitSoftcap) : logits
  }

  /** Logits of every position: [batch, length, vocabSize]. */
  forward(inputs: DecoderInputs, options: Dropping = {}): Tensor {
    return this.logits(this.hidden(inputs, options))
  }

  /** Mean cross-entropy of the targets (i32, as many as tokens; −100 counts for nothing). */
  loss(inputs: DecoderInputs & { targets: Tensor }, options: Dropping = {}): Tensor {
    checkOptions('DecoderModel', inputs, [...inputNames, 'targets'])
    const { targets, ...given } = inputs
    checkTensor('DecoderModel', 'targets', targets)
    return this.lossOfHidden(
      reshape(this.hidden(given, options), [-1, this.#config.hiddenSize]),
      reshape(targets, [-1]),
    )
  }

  /** The same of hidden states [tokens, hiddenSize] and targets [tokens]; logits are never stored unless they are capped or the weights packed. */
  lossOfHidden(hidden: Tensor, targets: Tensor): Tensor {
    const { weight } = this.head ?? this.tokenEmbedding
    if (this.#config.logitSoftcap || weight.packed) return crossEntropy(this.logits(hidden), targets)
    return linearCrossEntropy(hidden, weight, targets)
  }

  /** The logits of some rows (i32 [rows]) of hidden states [length, hiddenSize]: [rows, vocabSize]. */
  logitsOfRows(hidden: Tensor, rows: Tensor): Tensor {
    return this.logits(embedding(hidden, rows))
  }

  override dispose(): void {
    super.dispose()
    for (const kept of [this.#counts, this.#frequencies]) {
      for (const tensor of kept.values()) tensor.dispose()
      kept.clear()
    }
  }

  /** Kept, as every program for this length reads it. */
  #frequenciesOf(length: number): Tensor | undefined {
    const kept = this.#frequencies.get(length)
    const made = kept ? undefined : this.rotaryFrequencies(length)
    if (made) this.#frequencies.set(length, fromData(made))
    return this.#frequencies.get(length)
  }

  /** 0, 1, …: kept, as every program for this length reads it. */
  #counting(length: number): Tensor {
    checkInteger('DecoderModel', 'length', length, 0, this.#config.context)
    let positions = this.#counts.get(length)
    if (!positions) this.#counts.set(length, (positions = fromData(Int32Array.from({ length }, (_, i) => i))))
    return positions
  }
}

/** What `config` says of layer `index`, with or without the window. */
function layerOptions(config: ResolvedDecoderConfig, windowed: boolean, index: number): LayerOptions {
  const { normPlacement, normOffset, normEpsilon: epsilon, queryKeyNorm, parallel } = config
  return {
    normPlacement,
    normOffset,
    parallel,
    mlpBias: config.mlpBias,
    experts: config.expertLayers[index] ? expertsOf(config) : undefined,
    rope: config.positions === 'rotary' ? ropeOf(config, windowed) : undefined,
    attention: {
      bias: config.qkvBias,
      outputBias: config.outputBias,
      byHead: config.qkvByHead,
      ...(queryKeyNorm !== 'none' && { queryKeyNorm: { of: queryKeyNorm, epsilon, offset: normOffset } }),
      ...(windowed && { window: config.window }),
      ...(config.scoreSoftcap && { softcap: config.scoreSoftcap }),
      ...(config.scoreDim !== config.headDim && { scale: config.scoreDim ** -0.5 }),
    },
  }
}

const expertsOf = (config: ResolvedDecoderConfig): LayerOptions['experts'] => ({
  hidden: config.expertSize,
  experts: config.experts,
  topK: config.expertsPerToken,
  normalize: config.normalizeExperts,
  ...(config.sharedExpertSize && { sharedHidden: config.sharedExpertSize }),
})

function ropeOf(config: ResolvedDecoderConfig, windowed: boolean): RotaryConfig {
  const { ropeTheta, localRopeTheta, ropeDim, context } = config
  const isLocal = windowed && localRopeTheta !== 0
  const scaling: RopeScaling = isLocal ? { type: 'none' } : config.ropeScaling
  return {
    frequencies: ropeFrequencies(isLocal ? localRopeTheta : ropeTheta, ropeDim, scaling, context),
    scale: attentionFactorOf(scaling),
  }
}

export const decoder: Assembly<DecoderConfig, DecoderModel> = {
  resolve: resolveDecoderConfig,
  make: (config, options) => new DecoderModel(config, options),
}
