import { checkInteger } from '../errors.ts'
import { compile, type Compiled, type RunOptions } from '../graph/compile.ts'
import type { DecoderModel } from '../models/decoder-model.ts'
import { KeyValueCache } from '../nn/key-value-cache.ts'
import { reshape, type CacheFormat } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

interface StepInputs {
  /** i32 [rows] */
  tokens: Tensor
  positions: Tensor
  /** i32 [1]: tokens in the cache before and after, and the row whose logits are wanted. */
  before: Tensor
  after: Tensor
  last: Tensor
  /** Of rotary positions, where they depend on the length of the sequence. */
  frequencies?: Tensor
}

/**
 * One sequence that grows: a key-value cache and one program, planned for `capacity` rows, that serves the prompt, any
 * number of tokens at once, and single steps alike.
 */
export class Decoding implements Disposable {
  readonly capacity: number
  readonly #cache: KeyValueCache
  readonly #step: Compiled<StepInputs, Tensor>
  readonly #model: DecoderModel
  #length = 0

  constructor(model: DecoderModel, capacity: number = model.config.context, cacheDtype: CacheFormat = 'f32') {
    const { numLayers: layers, numKeyValueHeads: kvHeads, headDim, context } = model.config
    this.capacity = checkInteger('Decoding', 'capacity', capacity, 1, context)
    const cache = new KeyValueCache({ layers, kvHeads, headDim, capacity, dtype: cacheDtype })
    this.#cache = cache
    this.#model = model
    this.#step = compile(
      ({ tokens, positions, before, after, last, frequencies }: StepInputs) => {
        const hidden = model.hidden(
          { tokens, positions, frequencies },
          { cached: { cache, position: reshape(before, []), keyLengths: after } },
        )
        return model.logitsOfRow(hidden, last)
      },
      { rows: { capacity, inputs: ['tokens', 'positions'] } },
    )
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#length
  }

  /** Bytes of the key-value cache. */
  get cacheBytes(): number {
    return this.#cache.bytes
  }

  /** Forgets everything. */
  reset(): void {
    this.#length = 0
  }

  /** Adds tokens and gives the logits of the one that follows the last: a copy, [vocabSize]. */
  async append(tokens: Int32Array, options: RunOptions = {}): Promise<Float32Array> {
    checkInteger('append', 'number of tokens', tokens.length, 1, this.capacity - this.#length)
    const before = this.#length
    const after = before + tokens.length
    const frequencies = this.#model.rotaryFrequencies(after)
    using logits = await this.#step.run(
      {
        tokens,
        positions: Int32Array.from(tokens, (_, i) => before + i),
        before: Int32Array.of(before),
        after: Int32Array.of(after),
        last: Int32Array.of(tokens.length - 1),
        ...(frequencies && { frequencies }),
      },
      options,
    )
    this.#length = after
    return (logits.data() as Float32Array).slice()
  }

  dispose(): void {
    this.#step.dispose()
    this.#cache.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}
