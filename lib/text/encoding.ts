import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import type { PostProcessor, Tokens } from './post-processors.ts'

export interface EncodingOptions {
  /** What stands second in each row, one for each text. */
  textPair?: string | readonly string[]
  /** What each text is to become, of encoder-decoder models: gives `labels`, cut as the texts are. */
  textTarget?: string | readonly string[]
  /** [CLS], [SEP], `<s>` and their like, as the model was trained with; true unless given. */
  addSpecialTokens?: boolean
  /** The most tokens of a row, special ones included. A longer row is an error unless `truncation` says how to cut. */
  maxLength?: number
  /**
   * Cuts rows to `maxLength`, or to what the model takes: true or 'longestFirst' takes tokens from the longer of two
   * texts, 'onlyFirst' and 'onlySecond' from one of them.
   */
  truncation?: boolean | 'longestFirst' | 'onlyFirst' | 'onlySecond'
  /**
   * Gives what truncation takes away as further rows, so that long texts are read in windows; of pairs the text that
   * `truncation` names is cut. `textOfRow` tells which text each row is of.
   */
  returnOverflow?: boolean
  /** How many tokens a window has in common with the one before; 0 unless given. */
  stride?: number
  /** Where tokens are taken away; 'right' unless the files say otherwise. */
  truncationSide?: 'left' | 'right'
  /** Fills rows up to the longest, or to `maxLength`, and gives `attentionMask`. */
  padding?: boolean | 'longest' | 'maxLength'
  /** Where rows are filled up; 'right' unless the files say otherwise. */
  paddingSide?: 'left' | 'right'
  /** Gives `offsets`, `wordIds` and `sequenceIds`. */
  returnOffsets?: boolean
}

/** Rows of token ids, one for each text. */
export interface Encoding {
  inputIds: number[][]
  /** 0 for padding; only if rows are padded. */
  attentionMask?: number[][]
  /** Which of two texts a token belongs to; only for models that were trained with it. */
  tokenTypeIds?: number[][]
  /** What each token stands for: [start, end) of the text in UTF-16 units, as JavaScript counts; [0, 0] for special tokens. */
  offsets?: [start: number, end: number][][]
  /** Which word of its text each token belongs to, as the tokenizer cuts words; null for special tokens. */
  wordIds?: (number | null)[][]
  /** 0 or 1: the first or second text; null for special tokens. */
  sequenceIds?: (number | null)[][]
  /** The ids of `textTarget`, one row for each text. */
  labels?: number[][]
  /** Which of the texts each row is of; only with `returnOverflow`. */
  textOfRow?: number[]
}

/** What encoding needs to know of a tokenizer. */
export interface Encoder {
  tokensOf(text: string, sequence: number): Tokens
  readonly postProcessor: PostProcessor
  readonly hasTypes: boolean
  /** Of what texts are to become, where that is another language with pieces of its own (Marian). */
  readonly target?: Encoder | undefined
  readonly padTokenId?: number | undefined
  readonly modelMaxLength?: number | undefined
  readonly paddingSide: 'left' | 'right'
  readonly truncationSide: 'left' | 'right'
}

const operation = 'tokenizer'
const sides = ['left', 'right'] as const
const strategies = ['longestFirst', 'onlyFirst', 'onlySecond'] as const

/** See `Tokenizer`. */
export function encodeTexts(encoder: Encoder, input: string | readonly string[], options: EncodingOptions): Encoding {
  const { textTarget, ...own } = options
  const rows = encodeSources(encoder, input, own)
  if (textTarget === undefined) return rows
  const targets = checkTexts('textTarget to be a text or texts', textTarget)
  const count = checkTexts('a text or texts', input).length
  if (targets.length !== count)
    throw new ArgumentError(`${operation}: ${count} texts, but ${targets.length} of textTarget; they should be as many`)
  const { addSpecialTokens, maxLength, truncation, truncationSide } = own
  const same = { addSpecialTokens, maxLength, truncation, truncationSide }
  const given = Object.fromEntries(Object.entries(same).filter(([, value]) => value !== undefined))
  return { ...rows, labels: encodeSources(encoder.target ?? encoder, targets, given).inputIds }
}

function encodeSources(encoder: Encoder, input: string | readonly string[], options: EncodingOptions): Encoding {
  const texts = checkTexts('a text or texts', input)
  checkOptions(operation, options, {
    textPair: 'any',
    addSpecialTokens: 'boolean',
    maxLength: 'any',
    truncation: 'any',
    truncationSide: 'any',
    padding: 'any',
    paddingSide: 'any',
    returnOffsets: 'boolean',
    returnOverflow: 'boolean',
    stride: 'any',
  })
  const { addSpecialTokens = true, returnOffsets = false, returnOverflow = false } = options
  const padding = oneOf('padding', options.padding ?? false, [false, true, 'longest', 'maxLength'])
  const strategy = oneOf('truncation', options.truncation ?? false, [false, true, ...strategies])
  const side = oneOf('truncationSide', options.truncationSide ?? encoder.truncationSide, sides)
  const paddingSide = oneOf('paddingSide', options.paddingSide ?? encoder.paddingSide, sides)
  const maxLength = checkMaxLength(encoder, options, strategy !== false, padding === 'maxLength')
  const pairs =
    options.textPair === undefined ? undefined : checkTexts('textPair to be a text or texts', options.textPair)
  if (pairs && pairs.length !== texts.length)
    throw new ArgumentError(
      `${operation}: ${texts.length} texts, but ${pairs.length} of textPair; they should be as many`,
    )
  const stride = checkInteger(operation, 'stride', options.stride ?? 0, 0)
  if (options.stride !== undefined && !returnOverflow)
    throw new ArgumentError(`${operation}: stride says how windows overlap, which returnOverflow asks for; give both`)
  if (returnOverflow && (strategy === false || (pairs && !String(strategy).startsWith('only'))))
    throw new ArgumentError(
      `${operation}: returnOverflow needs truncation${pairs ? " 'onlyFirst' or 'onlySecond', as texts have pairs" : ''}`,
    )
  const textOfRow: number[] = []
  const rows = texts.flatMap((text, i) => {
    const parts = [encoder.tokensOf(text, 0)]
    if (pairs) parts.push(encoder.tokensOf(pairs[i]!, 1))
    const added = addSpecialTokens ? encoder.postProcessor.added[pairs ? 1 : 0] : 0
    const cut =
      maxLength === undefined
        ? [parts]
        : returnOverflow
          ? windows(parts, maxLength - added, strategy === 'onlySecond' ? 1 : 0, stride, i)
          : [fit(parts, maxLength, added, strategy, side, i)]
    for (let n = 0; n < cut.length; n++) textOfRow.push(i)
    return cut.map((row) => encoder.postProcessor.process(row, addSpecialTokens))
  })
  const encoding = { ...toEncoding(rows, encoder.hasTypes, returnOffsets), ...(returnOverflow && { textOfRow }) }
  return padding === false ? encoding : pad(encoding, encoder, padding === 'maxLength' ? maxLength! : 0, paddingSide)
}

function checkTexts(expected: string, input: unknown): readonly string[] {
  const texts: readonly unknown[] = typeof input === 'string' ? [input] : Array.isArray(input) ? input : [undefined]
  if (!texts.every((text) => typeof text === 'string'))
    throw new ArgumentError(`${operation}: expected ${expected}, got ${describe(input)}`)
  return texts as string[]
}

function oneOf<T>(name: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T))
    throw new ArgumentError(`${operation}: ${name} should be one of ${allowed.join(', ')}, got ${describe(value)}`)
  return value as T
}

function checkMaxLength(encoder: Encoder, options: EncodingOptions, cuts: boolean, fills: boolean): number | undefined {
  if (options.maxLength !== undefined) return checkInteger(operation, 'maxLength', options.maxLength, 1)
  if (!cuts && !fills) return undefined
  if (encoder.modelMaxLength === undefined)
    throw new ArgumentError(
      `${operation}: ${cuts ? 'truncation' : "padding 'maxLength'"} needs maxLength, as the tokenizer does not say what the model takes`,
    )
  return encoder.modelMaxLength
}

function fit(
  parts: readonly Tokens[],
  maxLength: number,
  added: number,
  strategy: boolean | (typeof strategies)[number],
  side: 'left' | 'right',
  row: number,
): readonly Tokens[] {
  const lengths = parts.map(({ ids }) => ids.length)
  const total = lengths.reduce((sum, length) => sum + length, added)
  if (total <= maxLength) return parts
  const tooLong = `${operation}: text ${row} has ${total} tokens, maxLength is ${maxLength}`
  if (strategy === false) throw new ArgumentError(`${tooLong}; shorten it, or say how with truncation`)
  const room = maxLength - added
  const left = [...lengths]
  if (strategy === 'onlyFirst' || strategy === 'onlySecond') {
    const only = strategy === 'onlyFirst' ? 0 : 1
    left[only] = room - (lengths[1 - only] ?? 0)
  } else if (left.length === 1) left[0] = room
  else {
    // Tokens are taken from the longer text until both are as long, then from both.
    const [short, long] = left[0]! <= left[1]! ? [0, 1] : [1, 0]
    left[short] = Math.min(left[short]!, Math.floor(room / 2))
    left[long] = room - left[short]!
    if (left[long]! > lengths[long]!) [left[long], left[short]] = [lengths[long]!, room - lengths[long]!]
  }
  if (
    !left.every((length, i) => length >= 0 && length <= lengths[i]!) ||
    (strategy === 'onlySecond' && parts.length === 1)
  )
    throw new ArgumentError(`${tooLong}; truncation ${describe(strategy)} can not make it fit`)
  return parts.map((part, i) => {
    const from = side === 'left' ? part.ids.length - left[i]! : 0
    return sliceOf(part, from, from + left[i]!)
  })
}

function sliceOf(part: Tokens, from: number, to: number): Tokens {
  const cut = <T>(list: readonly T[]): T[] => list.slice(from, to)
  return { ...part, ids: cut(part.ids), starts: cut(part.starts), ends: cut(part.ends), words: cut(part.words) }
}

/** Rows that cover part `which` from left to right, each with the other part as a whole. */
function windows(
  parts: readonly Tokens[],
  maxTokens: number,
  which: number,
  stride: number,
  row: number,
): readonly Tokens[][] {
  const long = parts[which]
  const room = maxTokens - (parts[1 - which]?.ids.length ?? 0)
  if (!long || room <= stride)
    throw new ArgumentError(
      `${operation}: text ${row} leaves room for ${Math.max(0, room)} tokens of the text that is cut, which should be more than stride, ${stride}`,
    )
  const made: Tokens[][] = []
  for (let from = 0; ; from += room - stride) {
    made.push(
      parts.map((part, i) => (i === which ? sliceOf(part, from, from + room) : sliceOf(part, 0, part.ids.length))),
    )
    if (from + room >= long.ids.length) return made
  }
}

function toEncoding(rows: readonly (readonly Tokens[])[], hasTypes: boolean, returnOffsets: boolean): Encoding {
  const each = <T>(of: (part: Tokens, i: number) => T): T[][] =>
    rows.map((parts) => parts.flatMap((part) => part.ids.map((_, i) => of(part, i))))
  return {
    inputIds: each(({ ids }, i) => ids[i]!),
    ...(hasTypes && { tokenTypeIds: each(({ type }) => type) }),
    ...(returnOffsets && {
      offsets: each(({ starts, ends }, i): [number, number] => [starts[i]!, ends[i]!]),
      wordIds: each(({ words, sequence }, i) => (sequence < 0 ? null : words[i]!)),
      sequenceIds: each(({ sequence }) => (sequence < 0 ? null : sequence)),
    }),
  }
}

function pad(encoding: Encoding, encoder: Encoder, least: number, side: 'left' | 'right'): Encoding {
  const { inputIds, tokenTypeIds, offsets, wordIds, sequenceIds, textOfRow } = encoding
  const length = inputIds.reduce((longest, row) => Math.max(longest, row.length), least)
  const { padTokenId } = encoder
  if (padTokenId === undefined)
    throw new ArgumentError(
      `${operation}: padding needs a token to fill up with, and this tokenizer has none; leave rows ragged`,
    )
  const filled = <T>(rows: readonly T[][], value: () => T): T[][] =>
    rows.map((row) => {
      const fill = Array.from({ length: length - row.length }, value)
      return side === 'left' ? [...fill, ...row] : [...row, ...fill]
    })
  return {
    inputIds: filled(inputIds, () => padTokenId),
    attentionMask: filled(
      inputIds.map((row) => row.map(() => 1)),
      () => 0,
    ),
    ...(tokenTypeIds && { tokenTypeIds: filled(tokenTypeIds, () => 0) }),
    ...(offsets && { offsets: filled(offsets, (): [number, number] => [0, 0]) }),
    ...(wordIds && { wordIds: filled(wordIds, () => null) }),
    ...(sequenceIds && { sequenceIds: filled(sequenceIds, () => null) }),
    ...(textOfRow && { textOfRow }),
  }
}
