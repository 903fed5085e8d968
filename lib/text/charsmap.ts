import { FileError } from '../errors.ts'
import { AlignedTextBuilder, type AlignedText, type Normalizer } from './aligned-text.ts'
import type { JsonFields } from './json-fields.ts'

/**
 * SentencePiece's `precompiled_charsmap`: the size of a trie in bytes (uint32), the trie, and the replacements as UTF-8
 * that ends in a NUL each. The trie is a double array of uint32 units as in Darts-clone; the value at a leaf is where
 * the replacement begins.
 */
export class CharsMap {
  readonly #units: Uint32Array
  readonly #replacements: Uint8Array

  /** Throws FileError for what is none; `where` begins the message. */
  constructor(bytes: Uint8Array, where: string) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = bytes.length >= 4 ? view.getUint32(0, true) : -1
    if (size < 4 || size % 4 !== 0 || size > bytes.length - 4)
      throw new FileError(`${where}: the precompiled_charsmap of ${bytes.length} bytes is damaged`)
    this.#units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + i * 4, true))
    this.#replacements = bytes.subarray(4 + size)
  }

  /** Calls `found(length, replacement)` for each key that `bytes` from `start` on begins with, the shortest first. */
  forEachPrefix(bytes: Uint8Array, start: number, found: (length: number, at: number) => boolean): void {
    const units = this.#units
    let position = offsetOf(units[0]!)
    for (let i = start; i < bytes.length; i++) {
      const byte = bytes[i]!
      position ^= byte
      const unit = units[position]
      // A label holds a byte; the highest bit is set in leaves, which have none.
      if (byte === 0 || unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return
      position ^= offsetOf(unit)
      if ((unit >>> 8) & 1 && position < units.length && !found(i + 1 - start, units[position]! & 0x7fffffff)) return
    }
  }

  replacement(at: number): string {
    const end = this.#replacements.indexOf(0, at)
    return decoder.decode(this.#replacements.subarray(at, end < 0 ? undefined : end))
  }
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6)
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' })

/**
 * Hugging Face's reading of a charsmap: each grapheme of fewer than six bytes is replaced by what the shortest key that
 * it begins with stands for, or else each of its characters is. (SentencePiece itself takes the longest key.)
 */
export function precompiled(fields: JsonFields): Normalizer {
  const base64 = fields.raw('precompiled_charsmap')
  if (base64 === undefined) return (text) => text
  const map = new CharsMap(Buffer.from(fields.string('precompiled_charsmap'), 'base64'), fields.where)
  const known = new Map<string, string | undefined>()
  const lookUp = (text: string): string | undefined => {
    if (known.has(text)) return known.get(text)
    let result: string | undefined
    map.forEachPrefix(encoder.encode(text), 0, (_, at) => {
      result = map.replacement(at)
      return false
    })
    if (known.size >= 10_000) known.clear()
    known.set(text, result)
    return result
  }
  const changesAscii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).some(
    (char) => lookUp(char) !== undefined,
  )
  return (text) => {
    if (!changesAscii && plain.test(text.text)) return text
    const made = new AlignedTextBuilder(text)
    const put = (part: string, from: number, normal: string | undefined): void => {
      if (normal === undefined) made.keep(from, from + part.length)
      else made.put(normal, text.startOf(from), text.endOf(from + part.length - 1))
    }
    for (const { segment, index } of segments(text)) {
      const normal = segment.length < 6 && utf8Length(segment) < 6 ? lookUp(segment) : undefined
      if (normal !== undefined) putGrapheme(made, text, segment, index, normal)
      else {
        let position = index
        for (const character of segment) {
          put(character, position, lookUp(character))
          position += character.length
        }
      }
    }
    return made.build()
  }
}

/** The new characters stand for the old ones one by one; those that are too many for the last of them. */
function putGrapheme(
  made: AlignedTextBuilder,
  text: AlignedText,
  segment: string,
  index: number,
  normal: string,
): void {
  const places: [start: number, end: number][] = []
  let position = index
  for (const character of segment) {
    places.push([text.startOf(position), text.endOf(position + character.length - 1)])
    position += character.length
  }
  let i = 0
  for (const character of normal) made.put(character, ...places[Math.min(i++, places.length - 1)]!)
}

/** What few maps change: those that fold case. */
const plain = /^[ -~]*$/
const utf8Length = (text: string): number => Buffer.byteLength(text)

/** Graphemes; runs of printable ASCII are cut by hand, as Intl.Segmenter is slow. The last of a run may take marks. */
function* segments({ text }: AlignedText): Generator<{ segment: string; index: number }> {
  for (const { 0: run, index } of text.matchAll(/[ -~]+(?=[ -~]|$)|[^ -~]+|[ -~][^ -~]*/g))
    if (plain.test(run)) for (let i = 0; i < run.length; i++) yield { segment: run[i]!, index: index + i }
    else yield* graphemesOf(run, index)
}

/** Some units at a time, as the time that Intl.Segmenter takes grows with the square of the length. */
const atOnce = 512

function* graphemesOf(run: string, index: number): Generator<{ segment: string; index: number }> {
  for (let from = 0; from < run.length;) {
    const isLast = from + atOnce >= run.length
    const part = run.slice(from, from + atOnce + (isLowSurrogate(run, from + atOnce) ? 1 : 0))
    const found = [...graphemes.segment(part)]
    // What may go on behind the part comes again with the next, unless it is far too long to be a key of the map.
    const whole = isLast || found.length === 1 ? found : found.slice(0, -1)
    for (const { segment, index: at } of whole) yield { segment, index: index + from + at }
    from += whole.reduce((length, { segment }) => length + segment.length, 0)
  }
}

const isLowSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00
