import { ArgumentError, ShapeError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import { checkSoftcap, windowExtents } from '../ops/attention.ts'
import {
  add,
  attention,
  cachedAttention,
  cacheWrite,
  reshape,
  rotaryEmbedding,
  split,
  transpose,
  type AttentionOptions,
  type RotaryOptions,
} from '../ops/index.ts'
import { roundsActivations } from '../ops/quantize.ts'
import { formatShape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkSource, dropWith, type Dropping } from './dropout.ts'
import { generatorOf, type Initialised } from './init.ts'
import type { LayerCache } from './key-value-cache.ts'
import { Linear } from './linear.ts'
import { Module } from './module.ts'
import { RMSNorm } from './norms.ts'
import { attend } from './attend.ts'
import { alibiSlopes, counting, rotaryFrequencies, type RotaryConfig } from './positions.ts'

export type { RotaryConfig } from './positions.ts'

export interface QueryKeyNorm {
  of: 'heads' | 'all'
  epsilon?: number
  /** Added to their weights. */
  offset?: number
}

export interface MultiHeadAttentionOptions extends Initialised {
  dim: number
  heads: number
  /** Fewer key-value heads than query heads: grouped queries. */
  kvHeads?: number | undefined
  headDim?: number
  /** Width of what keys and values are made from; `dim` unless said. Given: for cross-attention only. */
  memoryDim?: number
  /** Keys and values come from another sequence: separate projections. */
  cross?: boolean
  /** A projection each for queries, keys and values, as most checkpoints have it, instead of joined ones. */
  separate?: boolean
  bias?: boolean
  outputBias?: boolean
  /** Weights are kept as [inputs, outputs]. */
  inputsFirst?: boolean
  rope?: RotaryConfig | undefined
  /** How far tokens see: the `window` of ops.attention. */
  window?: AttentionOptions['window']
  /** Scores s become softcap · tanh(s / softcap). */
  softcap?: number | undefined
  /** Of scores; 1/√headDim unless said. */
  scale?: number | undefined
  /** RMS norms of queries and keys before they are turned: of each head, or over the width of all (Dehghani et al. 2023). */
  queryKeyNorm?: QueryKeyNorm | undefined
  /** In `qkv` the query, key and value of a head lie side by side, instead of all queries first (GPT-NeoX). */
  byHead?: boolean | undefined
  /** Scores fall with the distance of a key, by a slope for each head (Press, Smith & Lewis 2021). */
  alibi?: boolean | undefined
  /** Of the result; the weights of the keys are not dropped. */
  dropout?: number
}

export interface AttendOptions extends Dropping {
  /**
   * Token i sees the tokens j ≤ i, and with a cache those in it. With `keyLengths` too it sees those of both rules: in a
   * batch of sequences that are padded at the end, tokens see what they would see alone.
   */
  causal?: boolean | undefined
  /** i32 [batch]: keys j ≥ keyLengths[b] are not seen. With a cache: how many tokens of each sequence it holds after this call. */
  keyLengths?: Tensor | undefined
  /** i32 [length] or [batch, length]: for rotary embedding; 0, 1, … unless said, and to be said with a cache. */
  positions?: Tensor | undefined
  /** f32 [n]: those of the rotary embedding in place of the layer's own, where they depend on the length of sequences. */
  frequencies?: Tensor | undefined
  cache?: LayerCache | undefined
  /** Added to scores: [length, keyLength], before it 1 or heads, before that 1 or batch. */
  bias?: Tensor | undefined
  /**
   * What is hidden by it instead of by the layer's window: a bias like the other, 0 or −∞. For tokens whose distances are
   * not those of their places.
   */
  windowBias?: Tensor | undefined
  /** Is given the probabilities [batch, heads, length, keyLength] that values are weighed by; they have no gradient. */
  onAttention?: ((probabilities: Tensor) => void) | undefined
  /** i32 [sequences + 1], x being [tokens, dim]: packed sequences, as ops.attention takes them. */
  offsets?: Tensor | undefined
}

/** Keys and values of a memory, [batch, kvHeads, memoryLength, headDim], as `remember` makes them. */
export interface Remembered {
  readonly keys: Tensor
  readonly values: Tensor
}

export interface MemoryAttendOptions extends AttendOptions {
  /** What keys and values are made from, or those themselves. */
  memory?: Tensor | Remembered | undefined
  /** With `offsets`: those of the memory. */
  memoryOffsets?: Tensor | undefined
}

const known = {
  dim: 'any',
  heads: 'any',
  kvHeads: 'any',
  headDim: 'any',
  memoryDim: 'any',
  cross: 'boolean',
  separate: 'boolean',
  bias: 'boolean',
  outputBias: 'boolean',
  inputsFirst: 'boolean',
  rope: 'any',
  window: 'any',
  softcap: 'any',
  scale: 'any',
  queryKeyNorm: 'any',
  byHead: 'boolean',
  alibi: 'boolean',
  dropout: 'any',
  random: 'any',
} as const

export const attendOptionNames = [
  'causal',
  'keyLengths',
  'positions',
  'frequencies',
  'cache',
  'bias',
  'windowBias',
  'onAttention',
  'offsets',
  'dropout',
]

/**
 * Multi-head attention (Vaswani et al. 2017) with grouped queries and rotary positions. x [batch, length, dim], or
 * [length, dim] for one sequence. Self-attention has one projection `qkv` [(heads + 2·kvHeads)·headDim, dim]; cross
 * attention has `query` and `keyValue`; `separate` ones are `query`, `key` and `value`.
 */
export class MultiHeadAttention extends Module {
  readonly qkv?: Linear
  readonly query?: Linear
  readonly key?: Linear
  readonly value?: Linear
  readonly keyValue?: Linear
  readonly output: Linear
  readonly queryNorm?: RMSNorm
  readonly keyNorm?: RMSNorm
  readonly #cross: boolean
  readonly #heads: number
  readonly #kvHeads: number
  readonly #headDim: number
  readonly #dropout: number
  /** Of the rotary embedding. */
  readonly frequencies?: Tensor
  readonly #rotary: RotaryOptions
  readonly #byHead: boolean
  readonly #normsHeads: boolean = false
  readonly #rules: Pick<AttentionOptions, 'window' | 'softcap' | 'scale'>
  /** Of ALiBi: [heads]. */
  readonly slopes?: Tensor

  constructor(options: MultiHeadAttentionOptions) {
    super()
    checkOptions('MultiHeadAttention', options, known)
    const { dim, heads, bias = true, outputBias = bias } = options
    const cross = options.cross ?? options.memoryDim !== undefined
    checkInteger('MultiHeadAttention', 'dim', dim, 1)
    checkInteger('MultiHeadAttention', 'heads', heads, 1)
    const memoryDim = checkInteger('MultiHeadAttention', 'memoryDim', options.memoryDim ?? dim, 1)
    this.#heads = heads
    this.#kvHeads = checkInteger('MultiHeadAttention', 'kvHeads', options.kvHeads ?? heads, 1, heads)
    if (heads % this.#kvHeads !== 0)
      throw new ArgumentError(`MultiHeadAttention: heads (${heads}) should be a multiple of kvHeads (${this.#kvHeads})`)
    if (options.headDim === undefined && dim % heads !== 0)
      throw new ArgumentError(
        `MultiHeadAttention: dim (${dim}) should be a multiple of heads (${heads}), or headDim be given`,
      )
    this.#headDim = checkInteger('MultiHeadAttention', 'headDim', options.headDim ?? dim / heads, 1, 256)
    this.#dropout = checkNumber('MultiHeadAttention', 'dropout', options.dropout ?? 0, 0, 0.999999)
    const random = generatorOf('MultiHeadAttention', options)
    const width = heads * this.#headDim
    const kvWidth = this.#kvHeads * this.#headDim
    const linear = { bias, random, inputsFirst: options.inputsFirst ?? false }
    this.#cross = cross
    if (cross || options.separate) this.query = new Linear(dim, width, linear)
    if (options.separate) {
      this.key = new Linear(memoryDim, kvWidth, linear)
      this.value = new Linear(memoryDim, kvWidth, linear)
    } else if (cross) this.keyValue = new Linear(memoryDim, 2 * kvWidth, linear)
    else this.qkv = new Linear(dim, width + 2 * kvWidth, linear)
    this.output = new Linear(width, dim, { ...linear, bias: outputBias })
    if (options.rope !== undefined && cross)
      throw new ArgumentError('MultiHeadAttention: rope goes with self-attention only')
    if (options.rope !== undefined) this.frequencies = rotaryFrequencies(options.rope, this.#headDim)
    this.#rotary = { interleaved: options.rope?.interleaved ?? false, scale: options.rope?.scale ?? 1 }
    this.#byHead = options.byHead ?? false
    const { queryKeyNorm: norms } = options
    if (this.#byHead && (!this.qkv || this.#kvHeads !== heads || norms))
      throw new ArgumentError(
        'MultiHeadAttention: byHead goes with a joined projection, as many kvHeads as heads, and no queryKeyNorm',
      )
    if (norms !== undefined) {
      checkOptions('MultiHeadAttention: queryKeyNorm', norms, ['of', 'epsilon', 'offset'])
      const { of, ...rest } = norms
      if (of !== 'heads' && of !== 'all')
        throw new ArgumentError(`MultiHeadAttention: queryKeyNorm.of should be one of heads, all, got ${describe(of)}`)
      this.#normsHeads = of === 'heads'
      this.queryNorm = new RMSNorm(this.#normsHeads ? this.#headDim : width, rest)
      this.keyNorm = new RMSNorm(this.#normsHeads ? this.#headDim : kvWidth, rest)
    }
    const { window, softcap, scale } = options
    if (scale !== undefined) checkNumber('MultiHeadAttention', 'scale', scale)
    if (window !== undefined) windowExtents('MultiHeadAttention', window, false)
    if (softcap !== undefined) checkSoftcap('MultiHeadAttention', softcap)
    this.#rules = {
      ...(window !== undefined && { window }),
      ...(softcap !== undefined && { softcap }),
      ...(scale !== undefined && { scale }),
    }
    if (options.alibi) this.slopes = alibiSlopes(heads)
  }

  /** Keys and values of a memory that is attended to more than once: `forward` takes them in its place. */
  remember(memory: Tensor): Remembered {
    checkTensor('remember', 'memory', memory)
    if (!this.#cross) throw new ArgumentError('remember: memory needs a layer made with { cross: true }')
    checkSequence('memory', memory, memory.rank)
    const [k, v] = this.keyValue
      ? split(this.keyValue.forward(memory), 2)
      : [this.key!.forward(memory), this.value!.forward(memory)]
    return { keys: this.#normalised(k!, this.keyNorm), values: this.#intoHeads(v!) }
  }

  /** Self-attention, or attention of x to `memory` [batch, memoryLength, memoryDim]. The result has the shape of x. */
  forward(x: Tensor, options: MemoryAttendOptions = {}): Tensor {
    checkOptions('MultiHeadAttention', options, [...attendOptionNames, 'memory', 'memoryOffsets'])
    checkTensor('MultiHeadAttention', 'x', x)
    for (const [name, given] of Object.entries(memoryParts(options.memory)))
      checkTensor('MultiHeadAttention', name, given)
    checkSource('MultiHeadAttention', options.dropout)
    const { memory, causal = false, keyLengths, cache, offsets, memoryOffsets, windowBias, onAttention } = options
    if (cache) this.#checkCached(options)
    if (offsets) this.#checkPacked(x, options)
    else if (memoryOffsets) throw new ArgumentError('MultiHeadAttention: memoryOffsets need offsets, those of x')
    if (options.frequencies && !this.frequencies)
      throw new ArgumentError('MultiHeadAttention: frequencies need a layer made with rope')
    let [q, k, v] = this.#project(x, memory)
    if (this.frequencies) {
      const positions = options.positions ?? counting(q.shape[2]!)
      const frequencies = options.frequencies ?? this.frequencies
      q = rotaryEmbedding(q, positions, frequencies, this.#rotary)
      k = rotaryEmbedding(k, positions, frequencies, this.#rotary)
    }
    const { window, ...others } = this.#rules
    const isByBias = window !== undefined && windowBias !== undefined
    const bias = isByBias && options.bias ? add(options.bias, windowBias) : isByBias ? windowBias : options.bias
    const rules = {
      ...others,
      ...(window !== undefined && !isByBias && { window }),
      ...(roundsActivations(this.output.weight) && { precision: 'bf16' as const }),
      ...(bias !== undefined && { bias }),
      ...(this.slopes && { alibiSlopes: this.slopes }),
    }
    const o = cache
      ? this.#attendCached(q, k, v, cache, { causal, keyLengths: keyLengths! }, rules)
      : attend(
          q,
          k,
          v,
          {
            causal: causal === true ? 'start' : causal,
            ...rules,
            ...(keyLengths !== undefined && { keyLengths }),
            ...(offsets && { offsets }),
            ...(memoryOffsets && { keyOffsets: memoryOffsets }),
          },
          onAttention,
        )
    const joined = reshape(transpose(o, [0, 2, 1, 3]), [...x.shape.slice(0, -2), -1, this.#heads * this.#headDim])
    return dropWith(this.output.forward(joined), this.#dropout, options)
  }

  #attendCached(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: LayerCache,
    options: { causal: boolean; keyLengths: Tensor },
    rules: Pick<AttentionOptions, 'scale' | 'window' | 'softcap' | 'alibiSlopes' | 'bias' | 'precision'>,
  ): Tensor {
    const { position, offsets, slots } = cache
    const keys = cacheWrite(cache.keys, k, position, { offsets, slots })
    const values = cacheWrite(cache.values, v, position, { offsets, slots })
    const { bias, ...others } = rules
    if (bias === undefined) return cachedAttention(q, keys, values, { ...options, ...others, offsets, slots })
    if (!(keys instanceof Tensor) || !(values instanceof Tensor) || offsets || slots)
      throw new ArgumentError(
        `MultiHeadAttention: a bias by keys goes with a cache in f32 of sequences that grow together; make it with { dtype: 'f32' }`,
      )
    return attention(q, keys, values, { ...options, ...rules })
  }

  #checkPacked(x: Tensor, { memory, cache, positions, memoryOffsets }: MemoryAttendOptions): void {
    if (x.rank !== 2)
      throw new ShapeError(
        `MultiHeadAttention: with offsets x should be [tokens, dim], got ${formatShape(x.shape)}; reshape it`,
      )
    if (cache)
      throw new ArgumentError(
        'MultiHeadAttention: with a cache offsets are said by it: cache.layer(index, { offsets, … })',
      )
    if (memoryOffsets && !memory) throw new ArgumentError('MultiHeadAttention: memoryOffsets need memory')
    if (memory && !memoryOffsets)
      throw new ArgumentError('MultiHeadAttention: offsets with memory need memoryOffsets, those of the memory')
    if (this.frequencies && !positions)
      throw new ArgumentError('MultiHeadAttention: rotary embedding with offsets needs positions, those of x')
  }

  #checkCached({ memory, keyLengths, positions, windowBias, onAttention }: MemoryAttendOptions): void {
    for (const [name, given] of Object.entries({ windowBias, onAttention }))
      if (given !== undefined) throw new ArgumentError(`MultiHeadAttention: ${name} does not go with a cache`)
    if (memory) throw new ArgumentError('MultiHeadAttention: a cache goes with self-attention only')
    if (!keyLengths)
      throw new ArgumentError('MultiHeadAttention: a cache needs keyLengths, how many tokens it holds after this call')
    if (this.frequencies && !positions)
      throw new ArgumentError('MultiHeadAttention: rotary embedding with a cache needs positions, those of x')
  }

  #project(x: Tensor, memory: Tensor | Remembered | undefined): [Tensor, Tensor, Tensor] {
    checkSequence('x', x, x.rank)
    if (memory instanceof Tensor) checkSequence('memory', memory, x.rank)
    const width = this.#heads * this.#headDim
    const kvWidth = this.#kvHeads * this.#headDim
    if (memory && !this.#cross)
      throw new ArgumentError('MultiHeadAttention: memory needs a layer made with { cross: true }')
    if (!memory && this.#cross)
      throw new ArgumentError('MultiHeadAttention: a layer made with { cross: true } needs memory')
    if (this.#byHead) return this.#projectByHead(x)
    if (memory) {
      const { keys, values } = memory instanceof Tensor ? this.remember(memory) : memory
      return [this.#normalised(this.query!.forward(x), this.queryNorm), keys, values]
    }
    const [q, k, v] = this.qkv
      ? split(this.qkv.forward(x), [width, kvWidth, kvWidth])
      : [this.query!.forward(x), this.key!.forward(x), this.value!.forward(x)]
    return [this.#normalised(q!, this.queryNorm), this.#normalised(k!, this.keyNorm), this.#intoHeads(v!)]
  }

  #projectByHead(x: Tensor): [Tensor, Tensor, Tensor] {
    const pieces = split(this.#headsOf(this.qkv!.forward(x), 3 * this.#headDim), 3)
    return pieces.map((piece) => transpose(piece, [0, 2, 1, 3])) as [Tensor, Tensor, Tensor]
  }

  /** Into heads, with the norm of queries or keys where there is one. */
  #normalised(x: Tensor, norm: RMSNorm | undefined): Tensor {
    if (!norm) return this.#intoHeads(x)
    if (!this.#normsHeads) return this.#intoHeads(norm.forward(x))
    return transpose(norm.forward(this.#headsOf(x, this.#headDim)), [0, 2, 1, 3])
  }

  /** [batch, length, heads·size] → [batch, length, heads, size]; one sequence is a batch of one. */
  #headsOf(x: Tensor, size: number): Tensor {
    return reshape(x, [x.rank === 3 ? x.shape[0]! : 1, -1, x.shape.at(-1)! / size, size])
  }

  /** [batch, length, heads·headDim] seen as [batch, heads, length, headDim]. */
  #intoHeads(x: Tensor): Tensor {
    return transpose(this.#headsOf(x, this.#headDim), [0, 2, 1, 3])
  }
}

function checkSequence(name: string, sequence: Tensor, rank: number): void {
  if (sequence.rank !== rank || (rank !== 2 && rank !== 3))
    throw new ShapeError(
      `MultiHeadAttention: ${name} should be [batch, length, dim] or [length, dim], as the other, got ${formatShape(sequence.shape)}`,
    )
}

const memoryParts = (memory: MemoryAttendOptions['memory']): object =>
  memory === undefined
    ? {}
    : memory instanceof Tensor
      ? { memory }
      : { 'memory.keys': memory?.keys, 'memory.values': memory?.values }
