import { ArgumentError } from '../errors.ts'

/**
 * A text together with where each of its UTF-16 units comes from in the text that was given: normalisers change text,
 * pre-tokenisers cut it, and the offsets of tokens still count units of the original.
 */
export class AlignedText {
  readonly text: string
  /** Where the first unit comes from; the others follow one by one unless `starts` and `ends` say otherwise. */
  readonly from: number
  readonly #starts: Int32Array | undefined
  readonly #ends: Int32Array | undefined

  constructor(text: string, from = 0, starts?: Int32Array, ends?: Int32Array) {
    this.text = text
    this.from = from
    this.#starts = starts
    this.#ends = ends
  }

  /** Where unit `i` begins in the original. */
  startOf(i: number): number {
    return this.#starts ? this.#starts[i]! : this.from + i
  }

  /** Where unit `i` ends in the original. */
  endOf(i: number): number {
    return this.#ends ? this.#ends[i]! : this.from + i + 1
  }

  slice(from: number, to: number): AlignedText {
    if (from === 0 && to === this.text.length) return this
    const { text } = this
    if (!this.#starts) return new AlignedText(text.slice(from, to), this.from + from)
    const starts = this.#starts.subarray(from, to)
    return new AlignedText(text.slice(from, to), starts[0] ?? this.from, starts, this.#ends!.subarray(from, to))
  }

  /** The same places for another text of the same length. */
  withText(text: string): AlignedText {
    return new AlignedText(text, this.from, this.#starts, this.#ends)
  }

  /** Replaces what `pattern` (global) matches; every unit of the replacement stands for the whole match. */
  replace(pattern: RegExp, replacement: (match: string) => string): AlignedText {
    const made = new AlignedTextBuilder(this)
    let last = 0
    for (const match of this.text.matchAll(pattern)) {
      const end = match.index + match[0].length
      if (end === match.index) continue
      made.keep(last, match.index)
      made.put(replacement(match[0]), this.startOf(match.index), this.endOf(end - 1))
      last = end
    }
    if (last === 0) return this
    made.keep(last, this.text.length)
    return made.build()
  }

  /** Puts `prefix` before a text that is not empty; it stands for the first character. */
  prepend(prefix: string): AlignedText {
    if (this.text === '') return this
    const made = new AlignedTextBuilder(this)
    const first = String.fromCodePoint(this.text.codePointAt(0)!).length
    made.put(prefix, this.startOf(0), this.endOf(first - 1))
    made.keep(0, this.text.length)
    return made.build()
  }
}

/**
 * Normalisers may double a text again and again: what a file says has to end before the memory does. Compatibility forms
 * make 18 units of one at most (NFKD of U+FDFA).
 */
const longestText = (original: number): number => 2 ** 20 + 32 * original

/** Puts a changed text together from parts of `source` and what is new. */
export class AlignedTextBuilder {
  readonly #source: AlignedText
  readonly #longest: number
  #text = ''
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  constructor(source: AlignedText) {
    this.#source = source
    this.#longest = longestText(source.text === '' ? 0 : source.endOf(source.text.length - 1))
  }

  /** The units of the source in [from, to), as they are. */
  keep(from: number, to: number): void {
    this.#checkLength(to - from)
    if (to > from) this.#text += this.#source.text.slice(from, to)
    for (let i = from; i < to; i++) {
      this.#starts.push(this.#source.startOf(i))
      this.#ends.push(this.#source.endOf(i))
    }
  }

  /** A new text, all of which stands for [start, end) of the original. */
  put(text: string, start: number, end: number): void {
    this.#checkLength(text.length)
    this.#text += text
    for (let i = 0; i < text.length; i++) {
      this.#starts.push(start)
      this.#ends.push(end)
    }
  }

  #checkLength(more: number): void {
    if (this.#text.length + more > this.#longest)
      throw new ArgumentError(
        `encode: the normalizer makes more than ${this.#longest} UTF-16 units of the text; this tokenizer.json is damaged or malicious`,
      )
  }

  build(): AlignedText {
    const starts = Int32Array.from(this.#starts)
    return new AlignedText(this.#text, starts[0] ?? this.#source.from, starts, Int32Array.from(this.#ends))
  }
}

/** Changes a text before it is cut. */
export type Normalizer = (text: AlignedText) => AlignedText
