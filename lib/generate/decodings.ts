import type { CacheFormat } from '../ops/cache.ts'
import { Decoding, type DecodingModel } from './decoding.ts'

interface Wanted {
  sequences: number
  /** Tokens of each. */
  capacity: number
  cacheDtype: CacheFormat
}

/** What tokens of a short text are planned for: less would be no smaller to speak of. */
const fewestTokens = 64

/**
 * The decodings of a model: the one that was given back last is kept, so that the next call neither traces nor allocates
 * where it serves. Those that are taken meanwhile are new.
 */
export class Decodings implements Disposable {
  readonly #model: DecodingModel
  #isDisposed = false
  #idle: { decoding: Decoding; cacheDtype: CacheFormat } | undefined

  constructor(model: DecodingModel) {
    this.#model = model
  }

  /** One without tokens. Give it back. */
  take({ sequences, capacity, cacheDtype }: Wanted): Decoding {
    const idle = this.#idle
    this.#idle = undefined
    if (
      idle?.decoding.sequences === sequences &&
      idle.cacheDtype === cacheDtype &&
      idle.decoding.capacity >= capacity
    ) {
      idle.decoding.reset()
      return idle.decoding
    }
    idle?.decoding.dispose()
    const planned = Math.max(fewestTokens, 2 ** Math.ceil(Math.log2(capacity)))
    const most = Math.min(planned, this.#model.config.context)
    return new Decoding(this.#model, { sequences, capacity: most, cacheDtype })
  }

  give(decoding: Decoding, { cacheDtype }: Pick<Wanted, 'cacheDtype'>): void {
    this.#idle?.decoding.dispose()
    this.#idle = undefined
    if (this.#isDisposed) decoding.dispose()
    else this.#idle = { decoding, cacheDtype }
  }

  dispose(): void {
    this.#isDisposed = true
    this.#idle?.decoding.dispose()
    this.#idle = undefined
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}
