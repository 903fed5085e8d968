import { ArgumentError, checkInteger, checkOptions, describe } from '../../errors.ts'
import { AlignedText } from '../aligned-text.ts'
import { byteCharacters } from '../byte-characters.ts'
import { JsonFields } from '../json-fields.ts'
import { readNormalizer } from '../normalizers.ts'
import { readPreTokenizer } from '../pre-tokenizers.ts'
import { PretrainedTokenizer } from '../pretrained-tokenizer.ts'
import type { Tokenizer } from '../tokenizer.ts'
import { mergePairs } from './merge-pairs.ts'
import { Pause, sorted } from './pause.ts'

export interface TokenizerTrainingOptions {
  /** How many tokens there should be, special ones included; fewer if the texts do not have enough pairs. */
  vocabSize: number
  /** The first ids, in this order. For 'bpe' none unless given; for 'wordpiece' [PAD], [UNK], [CLS], [SEP] and [MASK]. */
  specialTokens?: readonly string[]
  /** Pairs that are rarer are not merged; 0 unless given. */
  minFrequency?: number
  /** How texts are cut into words before; 'bpe' only. As GPT-2 (a word with the space before it) unless given. */
  preTokenizer?: 'gpt2' | 'llama3' | 'qwen2'
  /** Lower case without accents, as BERT's uncased models; 'wordpiece' only; true unless given. */
  lowercase?: boolean
  /** Stops within some milliseconds; the promise rejects with the signal's reason. */
  signal?: AbortSignal
  onProgress?: (progress: TokenizerTrainingProgress) => void
}

export interface TokenizerTrainingProgress {
  readonly phase: 'count' | 'merge'
  /** Texts counted, or tokens there are. */
  readonly done: number
  /** How many tokens there should be; undefined while texts are counted, as nobody knows how many come. */
  readonly total: number | undefined
}

const operation = 'trainTokenizer'
const bertTokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
/** Texts are counted in parts that are not much longer, so that the event loop is not kept waiting. */
const longestPart = 2048

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const gpt4 = (digits: string): object => ({
  type: 'Split',
  pattern: {
    Regex: `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  behavior: 'Isolated',
  invert: false,
})
const bytes = (cut: boolean): object => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: cut,
})
const cuts = {
  gpt2: bytes(true),
  llama3: { type: 'Sequence', pretokenizers: [gpt4('\\p{N}{1,3}'), bytes(false)] },
  qwen2: { type: 'Sequence', pretokenizers: [gpt4('\\p{N}'), bytes(false)] },
} as const

/**
 * Learns a vocabulary from texts: byte-level BPE (`'bpe'`, which can express every text) or WordPiece (`'wordpiece'`,
 * as BERT's). The merges of BPE are those of Hugging Face's trainer. Each text should be a line or a document; they
 * may come one by one. The event loop goes on meanwhile.
 *
 * `tokenizer.save(folder)` writes a `tokenizer.json` that Hugging Face's tokenizers open with the same ids.
 */
export async function trainTokenizer(
  type: 'bpe' | 'wordpiece',
  texts: Iterable<string> | AsyncIterable<string>,
  options: TokenizerTrainingOptions,
): Promise<Tokenizer> {
  if (type !== 'bpe' && type !== 'wordpiece')
    throw new ArgumentError(`${operation}: expected 'bpe' or 'wordpiece', got ${describe(type)}`)
  const isIterable =
    typeof texts === 'object' &&
    texts !== null &&
    !ArrayBuffer.isView(texts) &&
    (Symbol.iterator in texts || Symbol.asyncIterator in texts)
  if (!isIterable)
    throw new ArgumentError(`${operation}: expected texts, such as an array of strings, got ${describe(texts)}`)
  const { vocabSize, minFrequency, specialTokens, parts } = check(type, options)
  const { signal, onProgress } = options
  const pause = new Pause(signal)
  const counts = await countWords(texts, parts, pause, onProgress)
  const words = await sorted([...counts.keys()], pause)
  const prefix = type === 'wordpiece' ? '##' : ''

  const tokens: string[] = []
  const ids = new Map<string, number>()
  const add = (token: string): number => {
    const id = ids.get(token) ?? tokens.push(token) - 1
    ids.set(token, id)
    return id
  }
  for (const token of specialTokens) add(token)
  const alphabet = new Set<string>(type === 'bpe' ? byteCharacters : [])
  const frequencies: number[] = []
  for (const word of words) {
    if (type === 'wordpiece') for (const character of word) alphabet.add(character)
    frequencies.push(counts.get(word)!)
    if (pause.isDue()) await pause.take()
  }
  for (const character of [...alphabet].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)) add(character)
  const symbols: number[][] = []
  for (const word of words) {
    symbols.push(Array.from(word, (character, i) => add(i > 0 ? prefix + character : character)))
    if (pause.isDue()) await pause.take()
  }
  if (tokens.length > vocabSize)
    throw new ArgumentError(
      `${operation}: vocabSize should be at least ${tokens.length}, the special tokens and single characters, got ${vocabSize}`,
    )
  const onTokens = (done: number): void => onProgress?.({ phase: 'merge', done, total: vocabSize })
  const merges = await mergePairs(
    symbols,
    frequencies,
    tokens,
    ids,
    { vocabSize, minFrequency, prefix, onTokens },
    pause,
  )
  // What comes is one piece of work.
  await pause.take()
  const vocab = Object.fromEntries(ids)
  const added = specialTokens.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }))
  return new PretrainedTokenizer(
    {
      tokenizer: {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: added,
        ...parts,
        ...(type === 'bpe' ? bytePairFile(vocab, merges) : wordPieceFile(vocab, specialTokens)),
      },
      config: type === 'bpe' ? {} : namedBertTokens(specialTokens),
    },
    operation,
  )
}

function check(type: 'bpe' | 'wordpiece', options: TokenizerTrainingOptions) {
  if (typeof options !== 'object' || options === null)
    throw new ArgumentError(`${operation}: expected options with vocabSize, got ${describe(options)}`)
  checkOptions(operation, options, {
    vocabSize: 'any',
    specialTokens: 'any',
    minFrequency: 'any',
    preTokenizer: 'any',
    lowercase: 'boolean',
    signal: 'signal',
    onProgress: 'function',
  })
  const vocabSize = checkInteger(operation, 'vocabSize', options.vocabSize, 1, 2 ** 24)
  const minFrequency = checkInteger(operation, 'minFrequency', options.minFrequency ?? 0, 0)
  const specialTokens: readonly unknown[] = options.specialTokens ?? (type === 'bpe' ? [] : bertTokens)
  if (
    !Array.isArray(specialTokens) ||
    !specialTokens.every((token) => typeof token === 'string' && token !== '' && token.isWellFormed()) ||
    new Set(specialTokens).size !== specialTokens.length
  )
    throw new ArgumentError(`${operation}: specialTokens should be different texts, got ${describe(specialTokens)}`)
  if (type === 'wordpiece' && !specialTokens.includes('[UNK]'))
    throw new ArgumentError(
      `${operation}: specialTokens of 'wordpiece' should include [UNK], got ${describe(specialTokens)}`,
    )
  const { preTokenizer = 'gpt2', lowercase = true } = options
  if (type === 'wordpiece' ? options.preTokenizer !== undefined : options.lowercase !== undefined)
    throw new ArgumentError(
      `${operation}: ${type === 'bpe' ? "lowercase is an option of 'wordpiece'" : "preTokenizer is an option of 'bpe'"} only; leave it out`,
    )
  if (typeof preTokenizer !== 'string' || !Object.hasOwn(cuts, preTokenizer))
    throw new ArgumentError(
      `${operation}: preTokenizer should be one of ${Object.keys(cuts).join(', ')}, got ${describe(preTokenizer)}`,
    )
  const bert = { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase }
  const parts =
    type === 'bpe'
      ? { normalizer: null, pre_tokenizer: cuts[preTokenizer] }
      : { normalizer: bert, pre_tokenizer: { type: 'BertPreTokenizer' } }
  return { vocabSize, minFrequency, specialTokens: specialTokens as string[], parts }
}

async function countWords(
  texts: Iterable<string> | AsyncIterable<string>,
  parts: { normalizer: object | null; pre_tokenizer: object },
  pause: Pause,
  onProgress: TokenizerTrainingOptions['onProgress'],
): Promise<Map<string, number>> {
  const normalize = parts.normalizer ? readNormalizer(new JsonFields(parts.normalizer, operation)) : undefined
  const preTokenize = readPreTokenizer(new JsonFields(parts.pre_tokenizer, operation))
  const counts = new Map<string, number>()
  let done = 0
  for await (const text of texts) {
    if (typeof text !== 'string')
      throw new ArgumentError(`${operation}: text ${done} should be a string, got ${describe(text)}`)
    for (const part of partsOf(text.toWellFormed())) {
      const aligned = new AlignedText(part)
      for (const { text: word } of preTokenize(normalize ? normalize(aligned) : aligned))
        if (word !== '') counts.set(word, (counts.get(word) ?? 0) + 1)
      if (pause.isDue()) await pause.take()
    }
    onProgress?.({ phase: 'count', done: ++done, total: undefined })
    if (pause.isDue()) await pause.take()
  }
  return counts
}

/** Between a line and a letter, or a letter and a space before another: no way of cutting joins what is beside it. */
const border = /(?<=\S\n)(?=\p{L})|(?<=\p{L})(?= \p{L})/u

/** Parts of a long text; without a border it is one part, however long. */
function* partsOf(text: string): Generator<string> {
  let from = 0
  while (text.length - from > longestPart) {
    const start = from + longestPart
    let at = text.slice(start, start + longestPart).search(border)
    if (at < 0) at = text.slice(start).search(border)
    if (at < 0) break
    yield text.slice(from, start + at)
    from = start + at
  }
  yield text.slice(from)
}

function bytePairFile(vocab: Record<string, number>, merges: readonly (readonly [string, string])[]): object {
  return {
    post_processor: bytes(true),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  }
}

function wordPieceFile(vocab: Record<string, number>, specialTokens: readonly string[]): object {
  const [cls, sep] = ['[CLS]', '[SEP]']
  const special = (id: string, type: number): object => ({ SpecialToken: { id, type_id: type } })
  const text = (id: string, type: number): object => ({ Sequence: { id, type_id: type } })
  const isBert = specialTokens.includes(cls) && specialTokens.includes(sep)
  return {
    post_processor: isBert
      ? {
          type: 'TemplateProcessing',
          single: [special(cls, 0), text('A', 0), special(sep, 0)],
          pair: [special(cls, 0), text('A', 0), special(sep, 0), text('B', 1), special(sep, 1)],
          special_tokens: Object.fromEntries(
            [cls, sep].map((token) => [token, { id: token, ids: [vocab[token]], tokens: [token] }]),
          ),
        }
      : null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  }
}

function namedBertTokens(specialTokens: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    ['pad', 'unk', 'cls', 'sep', 'mask'].flatMap((name) => {
      const token = `[${name.toUpperCase()}]`
      return specialTokens.includes(token) ? [[`${name}_token`, token]] : []
    }),
  )
}
