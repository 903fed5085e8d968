import { compile, type Compiled, type RunOptions } from '../graph/compile.ts'
import type { EncoderDecoderModel, PackedTokens } from '../models/encoder-decoder-model.ts'
import type { PackedBatch } from '../models/model-inputs.ts'
import { asTable } from '../models/relative-positions.ts'
import { packedInputs } from '../models/seq2seq-inputs.ts'
import { KeyValueCache } from '../nn/key-value-cache.ts'
import { cacheWrite, embedding, logSoftmax, reshape } from '../ops/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'

/** What a decoding is planned for. */
export interface Seq2SeqSizes {
  /** Sequences of the encoder, and how many rows continue each. */
  sequences: number
  rowsPerSequence: number
  /** Most tokens of all sources together, and of a target. */
  sourceTokens: number
  targetTokens: number
}

interface StepInputs {
  tokens: Tensor
  positions: Tensor
  position: Tensor
  keyLengths: Tensor
  memoryOffsets: Tensor
  buckets?: Tensor
}

const powerOfTwo = (least: number, size: number): number => Math.max(least, 2 ** Math.ceil(Math.log2(size)))

/**
 * Targets of one length that grow by a token at a time. What each layer needs of the sources is computed once, without
 * padding; rows that continue one source share it.
 */
export class Seq2SeqDecoding implements Disposable {
  readonly #model: EncoderDecoderModel
  readonly #sizes: Seq2SeqSizes
  readonly #memory: KeyValueCache
  readonly #cache: KeyValueCache
  readonly #constants: readonly [zero: Tensor, offsets: Tensor]
  readonly #encode: Compiled<PackedTokens, object>
  readonly #step: Compiled<StepInputs, Tensor>
  readonly #reorder: Compiled<{ parents: Tensor }, object>
  #memoryOffsets: Int32Array = Int32Array.of(0)
  #length = 0

  /** `logProbabilities`: what steps give are those, instead of logits. */
  constructor(model: EncoderDecoderModel, sizes: Seq2SeqSizes, logProbabilities: boolean) {
    const { sequences, rowsPerSequence } = sizes
    const rows = sequences * rowsPerSequence
    const targetTokens = powerOfTwo(16, sizes.targetTokens)
    const sourceTokens = powerOfTwo(32, sizes.sourceTokens)
    this.#model = model
    this.#sizes = { sequences, rowsPerSequence, sourceTokens, targetTokens }
    const { layers, kvHeads, headDim } = model.cacheShape
    const memory = new KeyValueCache({ layers, kvHeads, headDim, capacity: sourceTokens })
    const cache = new KeyValueCache({ layers, kvHeads, headDim, batch: rows, capacity: targetTokens })
    const zero = fromData(Int32Array.of(0), { shape: [] })
    const offsets = fromData(Int32Array.from({ length: sequences + 1 }, (_, i) => i * rowsPerSequence))
    this.#memory = memory
    this.#cache = cache
    this.#constants = [zero, offsets]
    const remembered = memory.layers as readonly { keys: Tensor; values: Tensor }[]
    this.#encode = compile(
      ({ buckets, ...given }: PackedTokens) => {
        const source = { ...given, buckets: asTable(buckets) }
        const made = model.remember(model.encode(source).at(-1)!)
        made.forEach(({ keys, values }, layer) => {
          cacheWrite(remembered[layer]!.keys, keys, zero)
          cacheWrite(remembered[layer]!.values, values, zero)
        })
        return {}
      },
      { rows: { capacity: sourceTokens, inputs: ['tokens', 'positions'] } },
    )
    this.#step = compile(({ memoryOffsets, position, ...next }: StepInputs) => {
      const hidden = model.decodeNext(
        { ...next, position: reshape(position, []), offsets },
        { memory: remembered, memoryOffsets },
        cache,
      )
      return logProbabilities ? logSoftmax(model.logits(hidden)) : model.logits(hidden)
    })
    this.#reorder = compile(({ parents }: { parents: Tensor }) => {
      for (const { keys, values } of cache.layers as readonly { keys: Tensor; values: Tensor }[])
        for (const kept of [keys, values])
          cacheWrite(kept, reshape(embedding(reshape(kept, [rows, -1]), parents), kept.shape), zero)
      return {}
    })
  }

  /** Whether it serves these sizes too. */
  serves(sizes: Seq2SeqSizes): boolean {
    const { sequences, rowsPerSequence, sourceTokens, targetTokens } = this.#sizes
    return (
      sizes.sequences === sequences &&
      sizes.rowsPerSequence === rowsPerSequence &&
      sizes.sourceTokens <= sourceTokens &&
      sizes.targetTokens <= targetTokens
    )
  }

  /** Reads the sources; targets are empty. */
  async begin(source: PackedBatch, options: RunOptions): Promise<void> {
    this.#length = 0
    this.#memoryOffsets = source.offsets
    await this.#encode.run(packedInputs(this.#model, 'encoder', source, source.tokens.length), options)
  }

  /** Adds a token to each row, and gives what may follow: [rows, vocabSize], which belongs to the caller. */
  async step(tokens: Int32Array, options: RunOptions): Promise<Tensor> {
    const { firstPosition } = this.#model.config
    const buckets = this.#model.bucketsAt(this.#length, this.#sizes.targetTokens)
    const scores = await this.#step.run(
      {
        tokens,
        positions: new Int32Array(tokens.length).fill(firstPosition + this.#length),
        position: Int32Array.of(this.#length),
        keyLengths: new Int32Array(tokens.length).fill(this.#length + 1),
        memoryOffsets: this.#memoryOffsets,
        ...(buckets && { buckets }),
      },
      options,
    )
    this.#length++
    return scores
  }

  /** Row i goes on from what row parents[i] holds. */
  async reorder(parents: Int32Array, options: RunOptions): Promise<void> {
    if (parents.some((parent, row) => parent !== row)) await this.#reorder.run({ parents }, options)
  }

  dispose(): void {
    for (const held of [this.#encode, this.#step, this.#reorder, this.#memory, this.#cache, ...this.#constants])
      held.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}
