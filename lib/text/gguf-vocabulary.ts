import { ArgumentError, describe, FileError } from '../errors.ts'
import { isObject } from '../files/read-file.ts'
import { PretrainedTokenizer, type TokenizerFiles } from './pretrained-tokenizer.ts'
import { bytePairsFrom } from './models.ts'
import { byteTokens } from './token-model.ts'
import { mergesByScore } from './merges-by-score.ts'
import type { Tokenizer } from './tokenizer.ts'

/** `tokenizer.ggml.token_type` of llama.cpp. */
const tokenType = { unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/**
 * The tokenizer in the metadata of a GGUF file (`tokenizer.ggml.*`, `tokenizer.chat_template`), as llama.cpp reads it:
 * SentencePiece's BPE (`llama`), byte-level BPE (`gpt2`) and WordPiece (`bert`). Saved, it is a `tokenizer.json`.
 *
 * Throws FileError for what is damaged or not supported.
 */
export function tokenizerFromGguf(metadata: Readonly<Record<string, unknown>>): Tokenizer {
  if (!isObject(metadata)) throw new ArgumentError(`tokenizerFromGguf: expected metadata, got ${describe(metadata)}`)
  const vocabulary = new Vocabulary(metadata)
  const model = vocabulary.get('model')
  if (typeof model !== 'string' || !Object.hasOwn(builders, model))
    throw new FileError(
      `${where}: tokenizer.ggml.model should be one of ${Object.keys(builders).join(', ')}, which are what is supported, got ${describe(model)}`,
    )
  return new PretrainedTokenizer(builders[model]!(vocabulary), where)
}

const where = 'tokenizerFromGguf'

/** Typed access to `tokenizer.ggml.*`. */
class Vocabulary {
  readonly tokens: readonly string[]
  readonly types: ArrayLike<number>
  readonly #metadata: Readonly<Record<string, unknown>>

  constructor(metadata: Readonly<Record<string, unknown>>) {
    this.#metadata = metadata
    const tokens = this.get('tokens')
    if (!Array.isArray(tokens) || tokens.length === 0 || !tokens.every((token) => typeof token === 'string'))
      throw new FileError(`${where}: tokenizer.ggml.tokens should be a list of texts, got ${describe(tokens)}`)
    this.tokens = tokens
    this.types = this.numbers('token_type') ?? new Uint8Array(tokens.length).fill(1)
  }

  get(name: string): unknown {
    const key = `tokenizer.ggml.${name}`
    return Object.hasOwn(this.#metadata, key) ? this.#metadata[key] : undefined
  }

  get chatTemplate(): unknown {
    return this.#metadata['tokenizer.chat_template']
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'boolean')
      throw new FileError(`${where}: tokenizer.ggml.${name} should be true or false, got ${describe(value)}`)
    return value
  }

  /** One number for each token, or undefined if there are none. */
  numbers(name: string): ArrayLike<number> | undefined {
    const value = this.get(name) as ArrayLike<unknown> | undefined
    if (value === undefined) return undefined
    const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))
    if (!isList || value.length !== this.tokens.length || !Array.from(value).every((n) => Number.isFinite(n)))
      throw new FileError(
        `${where}: tokenizer.ggml.${name} should be ${this.tokens.length} numbers, got ${describe(value)}`,
      )
    return value as ArrayLike<number>
  }

  /** The token of `bos_token_id` and its like, or undefined. */
  named(name: string): string | undefined {
    const id = this.get(`${name}_token_id`)
    if (id === undefined) return undefined
    const token = this.tokens[Number(id)]
    if (token === undefined)
      throw new FileError(
        `${where}: tokenizer.ggml.${name}_token_id should be below ${this.tokens.length}, got ${describe(id)}`,
      )
    return token
  }
}

/** Ids by token; of tokens with the same text the first counts, the others are told apart. */
function vocabOf(tokens: readonly string[]): Record<string, number> {
  const ids = new Map<string, number>()
  for (const [id, token] of tokens.entries()) ids.set(ids.has(token) ? `${token}\0${id}` : token, id)
  return Object.fromEntries(ids)
}

function addedTokens({ tokens, types }: Vocabulary): object[] {
  return tokens.flatMap((content, id) =>
    types[id] === tokenType.control || types[id] === tokenType.userDefined || types[id] === tokenType.unknown
      ? [{ id, content, normalized: false, special: types[id] !== tokenType.userDefined }]
      : [],
  )
}

/** `$A` between the tokens that begin and end a text. */
function template(vocabulary: Vocabulary, begin: string | undefined, end: string | undefined): object {
  const special = (token: string | undefined, type: number): object[] =>
    token === undefined ? [] : [{ SpecialToken: { id: token, type_id: type } }]
  const text = (id: string, type: number): object[] => [{ Sequence: { id, type_id: type } }]
  const named = [...new Set([begin, end])].filter((token) => token !== undefined)
  const isBert = vocabulary.get('model') === 'bert'
  return {
    type: 'TemplateProcessing',
    single: [...special(begin, 0), ...text('A', 0), ...special(end, 0)],
    pair: [
      ...special(begin, 0),
      ...text('A', 0),
      ...special(end, 0),
      ...(isBert ? [] : special(begin, 1)),
      ...text('B', 1),
      ...special(end, 1),
    ],
    special_tokens: Object.fromEntries(
      named.map((token) => [token, { id: token, ids: [vocabulary.tokens.indexOf(token)], tokens: [token] }]),
    ),
  }
}

function files(vocabulary: Vocabulary, parts: Record<string, unknown>): TokenizerFiles {
  const names = {
    bos_token: vocabulary.named('bos'),
    eos_token: vocabulary.named('eos'),
    unk_token: vocabulary.named('unknown'),
    pad_token: vocabulary.named('padding'),
    cls_token: vocabulary.named('cls'),
    // As llama.cpp spells it.
    sep_token: vocabulary.named('seperator') ?? vocabulary.named('separator'),
    mask_token: vocabulary.named('mask'),
    chat_template: vocabulary.chatTemplate,
    // Types are those of two texts; only BERT was trained with them.
    ...(vocabulary.get('model') !== 'bert' && { model_input_names: ['input_ids', 'attention_mask'] }),
  }
  return {
    tokenizer: { version: '1.0', truncation: null, padding: null, added_tokens: addedTokens(vocabulary), ...parts },
    config: Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined)),
  }
}

function sentencePiece(vocabulary: Vocabulary): TokenizerFiles {
  const { tokens, types } = vocabulary
  const scores = vocabulary.numbers('scores')
  if (!scores) throw new FileError(`${where}: tokenizer.ggml.scores are missing`)
  const { merges, ranks } = mergesByScore(tokens, scores, (id) => types[id] === 1 || types[id] === tokenType.unused)
  const prefix = vocabulary.boolean('add_space_prefix', true)
  const begin = vocabulary.boolean('add_bos_token', true) ? vocabulary.named('bos') : undefined
  const end = vocabulary.boolean('add_eos_token', false) ? vocabulary.named('eos') : undefined
  const unknown = vocabulary.named('unknown')
  const vocab = new Map(Object.entries(vocabOf(tokens)))
  return {
    ...files(vocabulary, {
      normalizer: {
        type: 'Sequence',
        normalizers: [
          ...(prefix ? [{ type: 'Prepend', prepend: '▁' }] : []),
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: template(vocabulary, begin, end),
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: 'BPE',
        unk_token: unknown ?? null,
        fuse_unk: true,
        byte_fallback: true,
        vocab: Object.fromEntries(vocab),
        merges,
      },
    }),
    exact: {
      model: bytePairsFrom({
        vocab,
        merges,
        ranks,
        fusesUnknown: true,
        byteIds: byteTokens(vocab),
        ...(unknown !== undefined && { unknownId: vocab.get(unknown)! }),
      }),
    },
  }
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const regex = (pattern: string): object => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
})
const gpt4 = (digits: string): object =>
  regex(
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  )
const bytes = (cut: boolean): object => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: cut,
})
const digitsFirst = [{ type: 'Digits', individual_digits: true }, bytes(true)]

/** How words are cut, by `tokenizer.ggml.pre`. */
const cuts: Readonly<Record<string, readonly object[]>> = {
  'gpt-2': [bytes(true)],
  mpt: [bytes(true)],
  olmo: [bytes(true)],
  'llama-bpe': [gpt4('\\p{N}{1,3}'), bytes(false)],
  llama3: [gpt4('\\p{N}{1,3}'), bytes(false)],
  'llama-v3': [gpt4('\\p{N}{1,3}'), bytes(false)],
  dbrx: [gpt4('\\p{N}{1,3}'), bytes(false)],
  smaug: [gpt4('\\p{N}{1,3}'), bytes(false)],
  qwen2: [gpt4('\\p{N}'), bytes(false)],
  'deepseek-r1-qwen': [gpt4('\\p{N}'), bytes(false)],
  stablelm2: [gpt4('\\p{N}'), bytes(false)],
  smollm: digitsFirst,
  starcoder: digitsFirst,
  refact: digitsFirst,
  'command-r': digitsFirst,
}

function byteLevel(vocabulary: Vocabulary): TokenizerFiles {
  const pre = vocabulary.get('pre')
  if (typeof pre !== 'string' || !Object.hasOwn(cuts, pre))
    throw new FileError(
      `${where}: tokenizer.ggml.pre should be one of ${Object.keys(cuts).join(', ')}, which are what is supported, got ${describe(pre)}`,
    )
  const isLlama = ['llama-bpe', 'llama3', 'llama-v3'].includes(pre)
  const begin = vocabulary.boolean('add_bos_token', isLlama) ? vocabulary.named('bos') : undefined
  const end = vocabulary.boolean('add_eos_token', false) ? vocabulary.named('eos') : undefined
  return files(vocabulary, {
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: cuts[pre] },
    post_processor: template(vocabulary, begin, end),
    decoder: bytes(true),
    model: {
      type: 'BPE',
      unk_token: null,
      ignore_merges: isLlama,
      vocab: vocabOf(vocabulary.tokens),
      merges: vocabulary.get('merges'),
    },
  })
}

/** A token that begins a word has `▁` before it there; one that goes on with a word has `##` here. */
function wordPiece(vocabulary: Vocabulary): TokenizerFiles {
  const tokens = vocabulary.tokens.map((token) =>
    token.startsWith('▁') ? token.slice(1) : /^\[.+\]$/.test(token) ? token : `##${token}`,
  )
  const unknown = vocabulary.named('unknown')
  if (unknown === undefined) throw new FileError(`${where}: tokenizer.ggml.unknown_token_id is missing`)
  const separator = vocabulary.named('seperator') ?? vocabulary.named('separator') ?? vocabulary.named('eos')
  return files(vocabulary, {
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: vocabulary.boolean('normalizer.lowercase', true),
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: template(vocabulary, vocabulary.named('cls') ?? vocabulary.named('bos'), separator),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unknown,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: vocabOf(tokens),
    },
  })
}

const builders: Readonly<Record<string, (vocabulary: Vocabulary) => TokenizerFiles>> = {
  llama: sentencePiece,
  gpt2: byteLevel,
  bert: wordPiece,
}
