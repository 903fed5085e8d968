import { AlignedTextBuilder, type AlignedText, type Normalizer } from './aligned-text.ts'
import { toByteCharacters } from './byte-characters.ts'
import { dropped, ideograph } from './character-classes.ts'
import { precompiled } from './charsmap.ts'
import type { JsonFields } from './json-fields.ts'
import { readPattern } from './patterns.ts'

/** The normalizer that a tokenizer.json describes. Throws FileError for a type that is not supported. */
export function readNormalizer(fields: JsonFields): Normalizer {
  return fields.choice('type', kinds)(fields)
}

const kinds: Readonly<Record<string, (fields: JsonFields) => Normalizer>> = {
  Sequence: (fields) => inTurn(fields.objects('normalizers').map(readNormalizer)),
  BertNormalizer: readBert,
  NFC: () => unicode('NFC'),
  NFD: () => unicode('NFD'),
  NFKC: () => unicode('NFKC'),
  NFKD: () => unicode('NFKD'),
  Lowercase: () => lowercase,
  StripAccents: () => (text) => text.replace(/\p{M}+/gu, () => ''),
  Strip: (fields) => {
    const left = fields.boolean('strip_left', true)
    const right = fields.boolean('strip_right', true)
    return (text) => {
      const from = left ? text.text.search(/\P{White_Space}|$/u) : 0
      const kept = right ? /\p{White_Space}*$/u.exec(text.text)!.index : text.text.length
      return text.slice(Math.min(from, kept), kept)
    }
  },
  Nmt: () => (text) =>
    text
      // oxlint-disable-next-line no-control-regex
      .replace(/[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g, () => '')
      .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, () => ' '),
  Replace: (fields) => {
    const pattern = readPattern(fields)
    const content = fields.string('content')
    return (text) => text.replace(pattern, () => content)
  },
  Prepend: (fields) => {
    const prefix = fields.string('prepend')
    return (text) => text.prepend(prefix)
  },
  Precompiled: precompiled,
  ByteLevel: () => toByteCharacters,
}

export const inTurn =
  (steps: readonly Normalizer[]): Normalizer =>
  (text) =>
    steps.reduce((result, step) => step(result), text)

/** Each code point for itself: a sigma at the end of a word is no exception. */
function lowercase(text: AlignedText): AlignedText {
  const lower = text.text.toLowerCase()
  if (lower.length === text.text.length && !text.text.includes('\u03a3')) return text.withText(lower)
  return text.replace(/[^\p{Ll}\p{Lo}\p{N}\p{P}\p{Z}]/gu, (character) => character.toLowerCase())
}

function readBert(fields: JsonFields): Normalizer {
  const lower = fields.boolean('lowercase', true)
  const strip = fields.boolean('strip_accents', lower)
  const steps: Normalizer[] = []
  if (fields.boolean('clean_text', true))
    steps.push((text) => text.replace(dropped, () => '').replace(/(?! )\p{White_Space}/gu, () => ' '))
  if (fields.boolean('handle_chinese_chars', true))
    steps.push((text) => text.replace(ideograph, (match) => ` ${match} `))
  if (strip) steps.push(unicode('NFD'), (text) => text.replace(/\p{Mn}/gu, () => ''))
  if (lower) steps.push(lowercase)
  return inTurn(steps)
}

/** A code point with what may combine with it: marks, and the vowels and finals of hangul. */
const clusters = /[^][\p{M}\u1160-\u11ff]*/gu

/** A composed character stands for the first of those that it was composed of, as in Hugging Face's tokenizers. */
function unicode(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Normalizer {
  const decomposed = form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD'
  const decomposedLength = (character: string): number => [...character.normalize(decomposed)].length
  return (text) => {
    if (text.text.normalize(form) === text.text) return text
    const made = new AlignedTextBuilder(text)
    for (const { 0: cluster, index } of text.text.matchAll(clusters)) {
      const normal = cluster.normalize(form)
      if (normal === cluster) {
        made.keep(index, index + cluster.length)
        continue
      }
      // Which character of the source each of the decomposed ones comes from.
      const sources: [start: number, end: number][] = []
      let position = index
      for (const character of cluster) {
        const end = position + character.length
        const place: [number, number] = [text.startOf(position), text.endOf(end - 1)]
        for (let n = decomposedLength(character); n > 0; n--) sources.push(place)
        position = end
      }
      let next = 0
      for (const character of normal) {
        made.put(character, ...sources[Math.min(next, sources.length - 1)]!)
        next += decomposedLength(character)
      }
    }
    return made.build()
  }
}
