import { FileError } from '../errors.ts'
import type { OpenFile } from '../files/open-file.ts'
import { decodeUtf8 } from '../files/read-file.ts'

/** Read at a time: what is decoded between two turns of the event loop. */
const chunkBytes = 2 ** 18
/** Of keys and names of tensors: far above any vocabulary, the largest published are around 20 MB. */
const maxHeaderBytes = 2 ** 27

/**
 * Little-endian values from the start of a file on. `need` brings bytes into the window, the others take them out of it;
 * nothing is ever read or kept on the word of a count that the rest of the file is too short for.
 */
export class GgufCursor {
  readonly where: string
  readonly #file: OpenFile
  readonly #signal: AbortSignal | undefined
  readonly #end: number
  #window = new Uint8Array(0)
  #view = new DataView(this.#window.buffer)
  /** Of the window in the file. */
  #start = 0
  /** Of the next byte in the window. */
  #at = 0

  constructor(file: OpenFile, where: string, signal: AbortSignal | undefined) {
    this.#file = file
    this.where = where
    this.#signal = signal
    this.#end = Math.min(file.size, maxHeaderBytes)
  }

  /** Of the next byte in the file. */
  get position(): number {
    return this.#start + this.#at
  }
  get remaining(): number {
    return this.#end - this.position
  }

  /** Throws FileError unless `count` things of at least `bytes` each fit into what is left of the file. */
  expect(count: number | bigint, bytes: number, what: string): number {
    if (Number(count) * bytes > this.remaining)
      throw new FileError(
        `${this.where}: ${count} ${what} at byte ${this.position} take more than the ${this.remaining} bytes that are left for it; truncated or damaged`,
      )
    return Number(count)
  }

  /** Makes the next `bytes` bytes available; a promise only when they are to be read first. */
  need(bytes: number, what: string): Promise<void> | undefined {
    if (this.#at + bytes <= this.#window.length) return undefined
    this.expect(bytes, 1, `bytes of ${what}`)
    return this.#refill(bytes)
  }

  async #refill(bytes: number): Promise<void> {
    this.#signal?.throwIfAborted()
    const position = this.position
    const next = new Uint8Array(Math.min(Math.max(bytes, chunkBytes), this.#end - position))
    const kept = this.#window.subarray(this.#at)
    next.set(kept)
    await this.#file.read(next.subarray(kept.length), position + kept.length, this.where)
    this.#window = next
    this.#view = new DataView(next.buffer)
    this.#start = position
    this.#at = 0
  }

  #take(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }
  u8 = (): number => this.#view.getUint8(this.#take(1))
  i8 = (): number => this.#view.getInt8(this.#take(1))
  u16 = (): number => this.#view.getUint16(this.#take(2), true)
  i16 = (): number => this.#view.getInt16(this.#take(2), true)
  u32 = (): number => this.#view.getUint32(this.#take(4), true)
  i32 = (): number => this.#view.getInt32(this.#take(4), true)
  f32 = (): number => this.#view.getFloat32(this.#take(4), true)
  u64 = (): bigint => this.#view.getBigUint64(this.#take(8), true)
  i64 = (): bigint => this.#view.getBigInt64(this.#take(8), true)
  f64 = (): number => this.#view.getFloat64(this.#take(8), true)

  /** A copy, at a multiple of 8 bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(length)
    return this.#window.slice(at, at + length)
  }
  text(length: number, what: string): string {
    const at = this.#take(length)
    return decodeUtf8(this.#window.subarray(at, at + length), `${this.where}: ${what}`)
  }

  /** A length and as many bytes of UTF-8. */
  async string(what: string): Promise<string> {
    await this.need(8, what)
    const length = this.expect(this.u64(), 1, `bytes of ${what}`)
    await this.need(length, what)
    return this.text(length, what)
  }
}
