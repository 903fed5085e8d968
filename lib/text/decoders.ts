import { byteOf } from './byte-characters.ts'
import type { JsonFields } from './json-fields.ts'
import { readPattern } from './patterns.ts'

/**
 * One step from tokens to text. Tokens come one by one, so that text can be shown while it is generated; what was given
 * back so far and by `flush`, joined, is the text of all of them. Decoding at once is the same steps.
 */
export interface DecodingStep {
  push(token: string): readonly string[]
  flush(): readonly string[]
}

/** Makes the steps for one text. */
export type Decoder = () => DecodingStep

/** The decoder that a tokenizer.json describes. Throws FileError for a type that is not supported. */
export function readDecoder(fields: JsonFields): Decoder {
  return chain(stepsOf(fields))
}

/** What there is without a decoder: tokens with spaces between them. */
export const spaced: Decoder = () => eachToken((token, i) => (i > 0 ? ` ${token}` : token))

/** One step after the other. */
export function chain(decoders: readonly Decoder[]): Decoder {
  if (decoders.length === 1) return decoders[0]!
  return () => {
    const steps = decoders.map((decoder) => decoder())
    const through = (tokens: readonly string[], from: number): readonly string[] =>
      steps.slice(from).reduce((now, step) => now.flatMap((token) => step.push(token)), tokens)
    return {
      push: (token) => through([token], 0),
      flush: () => steps.flatMap((step, i) => through(step.flush(), i + 1)),
    }
  }
}

function stepsOf(fields: JsonFields): Decoder[] {
  const decoders: Decoder[] = []
  let isFused = false
  const add = (inside: JsonFields): void => {
    if (inside.string('type') === 'Sequence') return inside.objects('decoders').forEach(add)
    decoders.push(inside.choice('type', kinds)(inside, isFused))
    isFused ||= ['Fuse', 'ByteLevel'].includes(inside.string('type'))
  }
  add(fields)
  return decoders
}

const kinds: Readonly<Record<string, (fields: JsonFields, isFused: boolean) => Decoder>> = {
  ByteLevel: () => byteLevel,
  ByteFallback: () => byteFallback,
  Fuse: () => () => eachToken((token) => token),
  WordPiece: (fields) => {
    const prefix = fields.string('prefix', '##')
    const clean = fields.boolean('cleanup', true) ? cleanUp : (text: string) => text
    return () =>
      eachToken((token, i) =>
        clean(i === 0 ? token : prefix && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`),
      )
  },
  Metaspace: (fields) => {
    const mark = fields.string('replacement', '▁')
    const before = fields.boolean('add_prefix_space', true) ? 'always' : 'never'
    const drops = fields.choice('prepend_scheme', { always: true, first: true, never: false }, before)
    return () => eachToken((token, i) => token.replaceAll(mark, i === 0 && drops ? '' : ' '))
  },
  BPEDecoder: (fields) => {
    const suffix = fields.string('suffix', '</w>')
    return () => lookingAhead((token, isLast) => token.replaceAll(suffix, isLast ? '' : ' '))
  },
  Replace: (fields, isFused) => {
    const pattern = readPattern(fields)
    const content = fields.string('content')
    const replace = (text: string): string => text.replace(pattern, () => content)
    // In one text a longer match may begin in one token and end in another.
    return isFused ? whole(replace) : () => eachToken(replace)
  },
  Strip: (fields, isFused) => {
    const content = fields.string('content', ' ')
    const start = fields.integer('start', 0, 1000, 0)
    const stop = fields.integer('stop', 0, 1000, 0)
    if (isFused && stop === 0) return () => stripBeginning(content, start)
    const strip = (text: string): string => {
      let from = 0
      let to = text.length
      while (from < start && text[from] === content) from++
      while (text.length - to < stop && to > from && text[to - 1] === content) to--
      return text.slice(from, to)
    }
    return isFused ? whole(strip) : () => eachToken(strip)
  },
}

function eachToken(change: (token: string, index: number) => string): DecodingStep {
  let index = 0
  return { push: (token) => [change(token, index++)], flush: () => [] }
}

function lookingAhead(change: (token: string, isLast: boolean) => string): DecodingStep {
  let held: string | undefined
  return {
    push: (token) => {
      const ready = held === undefined ? [] : [change(held, false)]
      held = token
      return ready
    },
    flush: () => (held === undefined ? [] : [change(held, true)]),
  }
}

/** Nothing is certain before the end. */
const whole =
  (change: (text: string) => string): Decoder =>
  () => {
    let text = ''
    return { push: (token) => ((text += token), []), flush: () => [change(text)] }
  }

function stripBeginning(content: string, count: number): DecodingStep {
  let left = count
  return eachToken((token) => {
    let from = 0
    while (left > 0 && from < token.length) {
      if (token[from] !== content) left = 0
      else {
        from++
        left--
      }
    }
    return token.slice(from)
  })
}

const encoder = new TextEncoder()

/** Bytes of a character that is not complete are held back. A token that is no bytes is text. */
function byteLevel(): DecodingStep {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push: (token) => {
      const bytes = Array.from(token, (character) => byteOf.get(character))
      const known = bytes.every((byte) => byte !== undefined)
      return [utf8.decode(known ? Uint8Array.from(bytes) : encoder.encode(token), { stream: true })]
    },
    flush: () => [utf8.decode()],
  }
}

/**
 * Tokens such as `<0x0A>` in a row are the bytes of a text. They are held until the row ends: if they are no valid
 * UTF-8, each is U+FFFD, also those that would have been valid, as in Hugging Face's tokenizers.
 */
function byteFallback(): DecodingStep {
  let bytes: number[] = []
  const flush = (): string[] => {
    if (bytes.length === 0) return []
    const held = Uint8Array.from(bytes)
    bytes = []
    try {
      return [new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(held)]
    } catch {
      return ['\ufffd'.repeat(held.length)]
    }
  }
  return {
    push: (token) => {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
      if (byte === undefined) return [...flush(), token]
      bytes.push(parseInt(byte, 16))
      return []
    },
    flush,
  }
}

/** The spaces that tokenizers of English put before punctuation and contractions are taken out, as in `transformers`. */
export function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}

/**
 * `cleanUp` of a text that comes in parts. Whatever is replaced begins with a space and has at most four characters, so
 * behind four that are none the text before is certain.
 */
export function cleaning(): DecodingStep {
  let held = ''
  return {
    push: (text) => {
      held += text
      const certain = /^[^]*[^ ]{4}/.exec(held)?.[0].length ?? 0
      const ready = held.slice(0, certain)
      held = held.slice(certain)
      return [cleanUp(ready)]
    },
    flush: () => {
      const rest = cleanUp(held)
      held = ''
      return [rest]
    },
  }
}
