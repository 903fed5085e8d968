import type { AlignedText } from './aligned-text.ts'
import { toByteCharacters } from './byte-characters.ts'
import { punctuation } from './character-classes.ts'
import type { JsonFields } from './json-fields.ts'
import { readPattern } from './patterns.ts'

/** Cuts a piece of text into smaller ones; the model never looks across their borders. */
export type PreTokenizer = (text: AlignedText) => readonly AlignedText[]

/** The pre-tokenizer that a tokenizer.json describes. Throws FileError for a type that is not supported. */
export function readPreTokenizer(fields: JsonFields): PreTokenizer {
  return fields.choice('type', kinds)(fields)
}

const kinds: Readonly<Record<string, (fields: JsonFields) => PreTokenizer>> = {
  Sequence: (fields) => {
    const steps = fields.objects('pretokenizers').map(readPreTokenizer)
    return (text) =>
      steps.reduce<readonly AlignedText[]>((pieces, step) => pieces.flatMap((piece) => step(piece)), [text])
  },
  BertPreTokenizer: () => {
    const mark = new RegExp(punctuation, 'gu')
    return (text) => split(text, /\p{White_Space}+/gu, 'Removed').flatMap((piece) => split(piece, mark, 'Isolated'))
  },
  WhitespaceSplit: () => (text) => split(text, /\p{White_Space}+/gu, 'Removed'),
  Whitespace: () => (text) =>
    split(
      text,
      /[^\p{White_Space}\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+/gu,
      'Removed',
      true,
    ),
  Punctuation: (fields) => {
    const mark = new RegExp(punctuation, 'gu')
    const behavior = fields.choice('behavior', behaviors, 'Isolated')
    return (text) => split(text, mark, behavior)
  },
  Digits: (fields) => {
    const behavior = fields.boolean('individual_digits', false) ? 'Isolated' : 'Contiguous'
    return (text) => split(text, /\p{N}/gu, behavior)
  },
  Split: (fields) => {
    const pattern = readPattern(fields)
    const behavior = fields.choice('behavior', behaviors)
    const invert = fields.boolean('invert', false)
    return (text) => split(text, pattern, behavior, invert)
  },
  CharDelimiterSplit: (fields) => {
    const delimiter = fields.string('delimiter')
    return (text) => split(text, new RegExp(`\\u{${delimiter.codePointAt(0)!.toString(16)}}`, 'gu'), 'Removed')
  },
  FixedLength: (fields) => {
    const pattern = new RegExp(`[^]{1,${fields.integer('length', 1, 10_000)}}`, 'gu')
    return (text) => split(text, pattern, 'Isolated')
  },
  ByteLevel: (fields) => {
    const prefix = fields.boolean('add_prefix_space', true)
    const cut = fields.boolean('use_regex', true)
    return (text) => {
      const whole = prefix && !text.text.startsWith(' ') ? text.prepend(' ') : text
      return (cut ? split(whole, gpt2, 'Isolated') : [whole]).map(toByteCharacters)
    }
  },
  Metaspace: readMetaspace,
}

/** How GPT-2 cuts words; a space belongs to what follows it. */
const gpt2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

function readMetaspace(fields: JsonFields): PreTokenizer {
  const mark = fields.string('replacement', '▁')
  // Older files say it by add_prefix_space.
  const before = fields.boolean('add_prefix_space', true) ? 'always' : 'never'
  const scheme = fields.choice('prepend_scheme', { always: 'always', first: 'first', never: 'never' }, before)
  const cut = fields.boolean('split', true)
  const marks = new RegExp(`\\u{${(mark.codePointAt(0) ?? 0).toString(16)}}`, 'gu')
  return (text) => {
    let whole = text.replace(/ /g, () => mark)
    if (!whole.text.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && text.startOf(0) === 0)))
      whole = whole.prepend(mark)
    return cut ? split(whole, marks, 'MergedWithNext') : [whole]
  }
}

const behaviors = {
  Removed: 'Removed',
  Isolated: 'Isolated',
  MergedWithPrevious: 'MergedWithPrevious',
  MergedWithNext: 'MergedWithNext',
  Contiguous: 'Contiguous',
} as const
type Behavior = keyof typeof behaviors

interface Part {
  from: number
  to: number
  readonly isMatch: boolean
}

/** The pieces between and of the matches of `pattern`, none empty; `invert` takes what lies between as the matches. */
function split(text: AlignedText, pattern: RegExp, behavior: Behavior, invert = false): AlignedText[] {
  const parts: Part[] = []
  const add = (from: number, to: number, isMatch: boolean): void => {
    if (to > from) parts.push({ from, to, isMatch: isMatch !== invert })
  }
  let last = 0
  for (const match of text.text.matchAll(pattern)) {
    add(last, match.index, false)
    last = match.index + match[0].length
    add(match.index, last, true)
  }
  add(last, text.text.length, false)
  return arrange(parts, behavior).map(({ from, to }) => text.slice(from, to))
}

function arrange(parts: Part[], behavior: Behavior): Part[] {
  if (behavior === 'Isolated') return parts
  if (behavior === 'Removed') return parts.filter(({ isMatch }) => !isMatch)
  const made: Part[] = []
  let before = behavior === 'Contiguous' ? undefined : false
  if (behavior === 'MergedWithNext') {
    for (const part of parts.toReversed()) {
      if (part.isMatch && !before && made.length) made.at(-1)!.from = part.from
      else made.push({ ...part })
      before = part.isMatch
    }
    return made.reverse()
  }
  for (const part of parts) {
    const joins = behavior === 'Contiguous' ? part.isMatch === before : part.isMatch && !before
    if (joins && made.length) made.at(-1)!.to = part.to
    else made.push({ ...part })
    before = part.isMatch
  }
  return made
}
