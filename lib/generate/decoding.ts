import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { compile, type Compiled, type RunOptions } from '../graph/compile.ts'
import type { CacheInputs } from '../models/decoder-model.ts'
import { KeyValueCache } from '../nn/key-value-cache.ts'
import { cacheCopy, logSoftmax, sample, type CacheFormat } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { samplerInputs, type Sampler } from './sampler.ts'

/** What a model needs to have to be decoded: `DecoderModel` does. */
export interface DecodingModel {
  readonly config: {
    readonly numLayers: number
    readonly numKeyValueHeads: number
    readonly headDim: number
    /** Most tokens of a sequence. */
    readonly context: number
  }
  /** Hidden states of tokens [rows] at positions [rows]; what lies in `cached` is attended to, and added to. */
  hidden(
    inputs: { tokens: Tensor; positions: Tensor; frequencies?: Tensor | undefined },
    options: { cached: CacheInputs },
  ): Tensor
  /** Logits [sequences, vocabSize] of these rows (i32 [sequences]). */
  logitsOfRows(hidden: Tensor, rows: Tensor): Tensor
  /** Of rotary positions, where they depend on the length of the longest sequence. */
  rotaryFrequencies?(length: number): Float32Array | undefined
}

export interface DecodingOptions {
  /** Sequences at once; 1 unless said. */
  sequences?: number
  /** Most tokens of each; the model's context unless said. */
  capacity?: number
  /** What the key-value cache stores; f32 unless said. */
  cacheDtype?: CacheFormat
}

/** For each sequence the tokens that it grows by, in order; none for those that stay as they are. */
export type Pieces = readonly (ArrayLike<number> | undefined)[]

/** i32, but for temperature, topP and minP. */
interface StepInputs {
  /** [rows]: the pieces of all sequences, one after another. */
  tokens: Tensor
  positions: Tensor
  /** [sequences + 1]: where they begin. */
  offsets: Tensor
  /** [sequences]: tokens in the cache before and after, the row of the cache, the row whose logits are wanted. */
  before: Tensor
  after: Tensor
  slots: Tensor
  last: Tensor
  /** f32 [n]: of a model whose rotary positions depend on the length of sequences. */
  frequencies?: Tensor
}
interface SampleInputs extends StepInputs {
  seed: Tensor
  step: Tensor
  temperature: Tensor
  topK: Tensor
  topP: Tensor
  minP: Tensor
}
type Data<I> = { [K in keyof I]: Int32Array | Float32Array }

/** Rows of a run: longer prompts are read in several, so that memory for activations does not grow with the context. */
const rowsOfRun = 512

/**
 * Sequences that grow, each at its own pace: a key-value cache with a row for each of them and one program that serves
 * prompts of any lengths, packed without padding, and single steps alike.
 *
 *     using decoding = new Decoding(model, { sequences: 3 })
 *     let tokens = await decoding.sample([prompt0, prompt1, prompt2], samplers)    // i32 [3], one for each sequence
 *     tokens = await decoding.sample([[tokens[0]], undefined, [tokens[2]]], samplers)   // sequence 1 has ended
 *
 * Nothing is traced again when sequences end: `reset(i)` frees one for another prompt. Logits for penalties, constraints
 * or scores come from `append`. Beam search calls `reorder` between steps.
 */
export class Decoding implements Disposable {
  readonly capacity: number
  readonly sequences: number
  readonly #model: DecodingModel
  readonly #cache: KeyValueCache
  readonly #logits: Compiled<StepInputs, Tensor>
  readonly #scores: Compiled<StepInputs, Tensor>
  readonly #tokens: Compiled<SampleInputs, Tensor>
  readonly #copy: Compiled<Record<'from' | 'to' | 'lengths', Tensor>, Tensor>
  readonly #rows: number
  readonly #lengths: number[]
  /** The row of the cache that each sequence lies in. */
  #slots: number[]
  #busy = false

  constructor(model: DecodingModel, options: DecodingOptions = {}) {
    checkOptions('Decoding', options, ['sequences', 'capacity', 'cacheDtype'])
    const { numLayers: layers, numKeyValueHeads: kvHeads, headDim, context } = model.config
    this.capacity = checkInteger('Decoding', 'capacity', options.capacity ?? context, 1, context)
    this.sequences = checkInteger('Decoding', 'sequences', options.sequences ?? 1, 1)
    const { capacity, sequences: batch } = this
    this.#rows = Math.max(batch, Math.min(rowsOfRun, batch * capacity))
    this.#lengths = Array.from({ length: batch }, () => 0)
    this.#slots = Array.from({ length: batch }, (_, s) => s)
    const cache = new KeyValueCache({ layers, batch, kvHeads, headDim, capacity, dtype: options.cacheDtype ?? 'f32' })
    this.#cache = cache
    this.#model = model
    const logitsOf = ({ tokens, positions, offsets, before, after, slots, last, frequencies }: StepInputs): Tensor => {
      const cached = { cache, position: before, keyLengths: after, offsets, slots }
      return model.logitsOfRows(model.hidden({ tokens, positions, frequencies }, { cached }), last)
    }
    const rows = { capacity: this.#rows, inputs: ['tokens', 'positions'] }
    this.#logits = compile(logitsOf, { rows })
    this.#scores = compile((inputs: StepInputs) => logSoftmax(logitsOf(inputs)), { rows })
    this.#tokens = compile(
      ({ seed, step, temperature, topK, topP, minP, ...inputs }: SampleInputs) =>
        sample(logitsOf(inputs), { seed, step, temperature, topK, topP, minP }),
      { rows },
    )
    this.#copy = compile((copies) => {
      for (const { keys, values } of cache.layers) for (const held of [keys, values]) cacheCopy(held, copies)
      return copies.lengths
    })
  }

  /** Tokens of each sequence in the cache. */
  get lengths(): readonly number[] {
    return this.#lengths
  }

  /** Bytes of the key-value cache. */
  get cacheBytes(): number {
    return this.#cache.bytes
  }

  /** Forgets one sequence, or all. */
  reset(sequence?: number): void {
    if (sequence === undefined) this.#lengths.fill(0)
    else this.truncate(sequence, 0)
  }

  /** Forgets what comes after the first `length` tokens of a sequence. */
  truncate(sequence: number, length: number): void {
    checkInteger('truncate', 'sequence', sequence, 0, this.sequences - 1)
    this.#lengths[sequence] = checkInteger('truncate', 'length', length, 0, this.#lengths[sequence])
  }

  /**
   * Sequence i goes on from what sequence parents[i] holds, as the beams of a search do. A parent with one child is only
   * renamed; each further child costs one copy of its part of the cache.
   */
  async reorder(parents: readonly number[]): Promise<void> {
    if (!Array.isArray(parents) || parents.length !== this.sequences)
      throw new ArgumentError(
        `reorder: parents should be an array of ${this.sequences} sequences, got ${describe(parents)}`,
      )
    for (const parent of parents) checkInteger('reorder', 'a parent', parent, 0, this.sequences - 1)
    const lengths = parents.map((parent) => this.#lengths[parent]!)
    const free = this.#slots.filter((_, s) => !parents.includes(s))
    const from = new Int32Array(this.sequences)
    const to = new Int32Array(this.sequences)
    const copied = new Int32Array(this.sequences)
    const slots = parents.map((parent, i) => {
      if (parents.indexOf(parent) === i) return this.#slots[parent]!
      from[i] = this.#slots[parent]!
      to[i] = free.pop()!
      copied[i] = lengths[i]!
      return to[i]!
    })
    if (copied.some((length) => length > 0))
      await this.#alone('reorder', async () => (await this.#copy.run({ from, to, lengths: copied })).dispose())
    this.#slots = slots
    lengths.forEach((length, i) => (this.#lengths[i] = length))
  }

  /**
   * Adds tokens, and gives for each sequence that got some the logits [vocabSize] of the one that follows, a copy. After an
   * error or an abort no sequence has changed.
   */
  async append(pieces: Pieces, options: RunOptions = {}): Promise<(Float32Array | undefined)[]> {
    return this.#rowsAfter('append', pieces, this.#logits, options)
  }

  /** The same as logarithms of probabilities. */
  async score(pieces: Pieces, options: RunOptions = {}): Promise<(Float32Array | undefined)[]> {
    return this.#rowsAfter('score', pieces, this.#scores, options)
  }

  async #rowsAfter(
    operation: string,
    pieces: Pieces,
    program: Compiled<StepInputs, Tensor>,
    options: RunOptions,
  ): Promise<(Float32Array | undefined)[]> {
    const results: (Float32Array | undefined)[] = this.#lengths.map(() => undefined)
    await this.#grow(operation, pieces, async (inputs, ended) => {
      using logits = await program.run(inputs, options)
      const vocabSize = logits.shape[1]!
      const data = logits.data() as Float32Array
      for (const s of ended) results[s] = data.slice(s * vocabSize, (s + 1) * vocabSize)
    })
    return results
  }

  /**
   * Adds tokens, and gives for each sequence that got some the next token, drawn as its sampler says; −1 for the others.
   * Logits with NaN are an ExecutionError.
   */
  async sample(pieces: Pieces, samplers: readonly Sampler[], options: RunOptions = {}): Promise<Int32Array> {
    if (!Array.isArray(samplers) || samplers.length !== this.sequences)
      throw new ArgumentError(
        `sample: expected ${this.sequences} samplers, one for each sequence, got ${describe(samplers)}`,
      )
    const results = new Int32Array(this.sequences).fill(-1)
    await this.#grow('sample', pieces, async (inputs, ended) => {
      const settings = samplerInputs(samplers, (s) => ended.includes(s))
      using tokens = await this.#tokens.run({ ...inputs, ...settings }, options)
      for (const s of ended) results[s] = tokens.data()[s]!
    })
    for (const [s, token] of results.entries()) if (token >= 0) samplers[s]!.step++
    return results
  }

  dispose(): void {
    this.#logits.dispose()
    this.#scores.dispose()
    this.#tokens.dispose()
    this.#copy.dispose()
    this.#cache.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  /** Runs `step` on the pieces, cut into runs; `ended` are the sequences whose piece ends in that run. */
  async #grow(
    operation: string,
    pieces: Pieces,
    step: (inputs: Data<StepInputs>, ended: readonly number[]) => Promise<void>,
  ): Promise<void> {
    const tokens = this.#checkPieces(operation, pieces)
    await this.#alone(operation, async () => {
      const lengths = [...this.#lengths]
      const longest = Math.max(...lengths.map((length, s) => length + tokens[s]!.length))
      const frequencies = this.#model.rotaryFrequencies?.(longest)
      const given = tokens.map(() => 0)
      while (tokens.some((piece, s) => given[s]! < piece.length)) {
        let left = this.#rows
        const counts = tokens.map((piece, s) => {
          const count = Math.min(left, piece.length - given[s]!)
          left -= count
          return count
        })
        const ended = counts.flatMap((count, s) => (count > 0 && given[s]! + count === tokens[s]!.length ? [s] : []))
        await step({ ...this.#inputs(tokens, given, counts, lengths), ...(frequencies && { frequencies }) }, ended)
        counts.forEach((count, s) => {
          given[s]! += count
          lengths[s]! += count
        })
      }
      lengths.forEach((length, s) => (this.#lengths[s] = length))
    })
  }

  /** Of a run that takes counts[s] tokens of each piece, from given[s] on, to sequences of these lengths. */
  #inputs(tokens: readonly Int32Array[], given: number[], counts: number[], lengths: number[]): Data<StepInputs> {
    const rows = counts.reduce((sum, count) => sum + count, 0)
    const inputs = {
      tokens: new Int32Array(rows),
      positions: new Int32Array(rows),
      offsets: new Int32Array(this.sequences + 1),
      before: Int32Array.from(lengths),
      after: Int32Array.from(lengths, (length, s) => length + counts[s]!),
      slots: Int32Array.from(this.#slots),
      last: new Int32Array(this.sequences),
    }
    counts.forEach((count, s) => {
      const at = inputs.offsets[s]!
      inputs.tokens.set(tokens[s]!.subarray(given[s]!, given[s]! + count), at)
      for (let t = 0; t < count; t++) inputs.positions[at + t] = lengths[s]! + t
      inputs.offsets[s + 1] = at + count
      inputs.last[s] = Math.max(0, at + count - 1)
    })
    return inputs
  }

  #checkPieces(operation: string, pieces: Pieces): Int32Array[] {
    if (!Array.isArray(pieces) || pieces.length !== this.sequences)
      throw new ArgumentError(
        `${operation}: expected an array with the tokens of each of ${this.sequences} sequences, got ${describe(pieces)}`,
      )
    const tokens = pieces.map((piece: ArrayLike<number> | undefined) => Int32Array.from(piece ?? []))
    tokens.forEach((piece, s) => {
      const room = this.capacity - this.#lengths[s]!
      if (piece.length > room)
        throw new ArgumentError(
          `${operation}: ${piece.length} tokens do not fit into sequence ${s}, which holds ${this.#lengths[s]} of ${this.capacity}`,
        )
    })
    if (tokens.every((piece) => piece.length === 0))
      throw new ArgumentError(`${operation}: expected at least one token of one sequence, got none`)
    return tokens
  }

  async #alone(operation: string, work: () => Promise<void>): Promise<void> {
    if (this.#busy) throw new ArgumentError(`${operation}: the sequences are growing already; await that first`)
    this.#busy = true
    try {
      await work()
    } finally {
      this.#busy = false
    }
  }
}
