import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { writeFileAtomically, writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { checkAttached, dtypeOf } from '../tensor/dtype.ts'
import type { Normalizer } from './aligned-text.ts'
import { AddedTokens, readAddedToken, type AddedToken } from './added-tokens.ts'
import { CallableTokenizer } from './callable-tokenizer.ts'
import { ChatTemplates, type ChatMessage, type ChatTemplateOptions } from './chat-template.ts'
import { chain, cleaning, readDecoder, spaced, type Decoder } from './decoders.ts'
import type { Encoder } from './encoding.ts'
import { JsonFields } from './json-fields.ts'
import { largestId, readModel, remember } from './models.ts'
import { readNormalizer } from './normalizers.ts'
import { noPostProcessor, readPostProcessor, type Tokens } from './post-processors.ts'
import { readPreTokenizer, type PreTokenizer } from './pre-tokenizers.ts'
import type { TokenModel } from './token-model.ts'
import { tokenizerFile, type DecodingOptions, type TokenDecoder, type Tokenizer } from './tokenizer.ts'

/** What the files of a folder say about a tokenizer, as objects in the formats of Hugging Face. */
export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: Record<string, unknown>
  /** tokenizer_config.json, and what special_tokens_map.json and chat_template.jinja add to it. */
  readonly config: Record<string, unknown>
  /** What is used instead of parts of tokenizer.json, where the format can not say it. */
  readonly exact?: ExactParts
  /** Those of what texts are to become, where it is cut into other pieces. */
  readonly target?: TokenizerFiles
  /** By name: the files that are saved, where tokenizer.json can not say it all. */
  readonly originals?: Readonly<Record<string, Uint8Array>>
}

export interface ExactParts {
  readonly model?: TokenModel
  readonly normalizer?: Normalizer
  readonly decoder?: Decoder
  /** Which added tokens are looked for in text; all unless given. */
  readonly isFoundInText?: (token: AddedToken) => boolean
}

/** The file beside tokenizer.json. */
export const configFile = 'tokenizer_config.json'

/** Above any context; files write 1e30 for what is not known. */
const longestContext = 1e9

/**
 * A tokenizer as a tokenizer.json describes it: normaliser, cut into words, model, special tokens; and back. Ids are
 * those of Hugging Face's tokenizers, offsets are its too, counted in UTF-16 units.
 *
 * Half of a surrogate pair alone is read as U+FFFD. What the file says about truncation and padding is not followed: both
 * are asked for in the call.
 */
export class PretrainedTokenizer extends CallableTokenizer implements Tokenizer {
  readonly vocabSize: number
  declare readonly bosTokenId?: number
  declare readonly eosTokenId?: number
  declare readonly padTokenId?: number
  declare readonly unkTokenId?: number
  declare readonly clsTokenId?: number
  declare readonly sepTokenId?: number
  declare readonly maskTokenId?: number
  declare readonly modelMaxLength?: number
  readonly specialTokenIds: readonly number[]
  readonly #files: TokenizerFiles
  readonly #model: TokenModel
  readonly #tokens: readonly (string | undefined)[]
  readonly #ids: ReadonlyMap<string, number>
  readonly #special: ReadonlySet<number>
  readonly #added: AddedTokens
  readonly #preTokenize: PreTokenizer
  readonly #decoder: Decoder
  readonly #cleansUp: boolean
  readonly #encoder: Encoder
  readonly #chatTemplates: ChatTemplates
  /** `{ bos_token: '<s>', … }`, which templates write. */
  readonly #namedTokens: Readonly<Record<string, string>>

  /** Throws FileError for what is damaged or not supported; `where` begins the message. */
  constructor(files: TokenizerFiles, where: string) {
    super(() => this.#encoder)
    const fields = new JsonFields(files.tokenizer, where)
    const config = new JsonFields(files.config, `${where}: ${configFile}`)
    const part = <T>(name: string, read: (fields: JsonFields) => T, none: T): T => {
      const inside = fields.optionalObject(name)
      return inside ? read(inside) : none
    }
    this.#files = files
    const { exact = {} } = files
    const model = exact.model ?? readModel(fields.object('model'))
    this.#model = { ...model, tokenize: remember(model.tokenize) }
    const normalize: Normalizer = exact.normalizer ?? part('normalizer', readNormalizer, (text) => text)
    const added = addedTokens(fields, config, this.#model.vocab, where)
    this.#ids = new Map([...this.#model.vocab, ...added.map(({ content, id }) => [content, id] as const)])
    this.#tokens = tokensById(this.#ids)
    this.vocabSize = this.#tokens.length
    this.#added = new AddedTokens(added.filter(exact.isFoundInText ?? (() => true)), normalize)
    this.#preTokenize = part('pre_tokenizer', readPreTokenizer, (text) => [text])
    this.#decoder = exact.decoder ?? part('decoder', readDecoder, spaced)
    const postProcessor = part(
      'post_processor',
      (inside) => readPostProcessor(inside, (id) => this.#tokens[id] ?? ''),
      noPostProcessor,
    )
    this.#cleansUp = config.boolean('clean_up_tokenization_spaces', false)
    const named = namedTokens(config, this.#ids)
    Object.assign(this, Object.fromEntries([...named].map(([name, id]) => [`${name}TokenId`, id])))
    this.#namedTokens = Object.fromEntries([...named].map(([name, id]) => [`${name}_token`, this.#tokens[id]!]))
    this.#chatTemplates = new ChatTemplates(config.raw('chat_template'), config.where)
    const special = new Set([...added.filter((token) => token.special).map(({ id }) => id), ...named.values()])
    this.#special = special
    this.specialTokenIds = [...special].sort((a, b) => a - b)
    const limit = config.raw('model_max_length')
    if (typeof limit === 'number' && limit >= 1 && limit < longestContext) this.modelMaxLength = Math.floor(limit)
    const inputs = config.raw('model_input_names')
    this.#encoder = {
      tokensOf: (text, sequence) => this.#tokensOf(text, sequence),
      postProcessor,
      target: files.target && new PretrainedTokenizer(files.target, where).#encoder,
      hasTypes: postProcessor.hasTypes && (!Array.isArray(inputs) || inputs.includes('token_type_ids')),
      padTokenId: this.padTokenId,
      modelMaxLength: this.modelMaxLength,
      paddingSide: config.choice('padding_side', { left: 'left', right: 'right' }, 'right'),
      truncationSide: config.choice('truncation_side', { left: 'left', right: 'right' }, 'right'),
    }
  }

  encode(text: string, options: { addSpecialTokens?: boolean } = {}): Int32Array {
    if (typeof text !== 'string') throw new ArgumentError(`encode: expected a string, got ${describe(text)}`)
    checkOptions('encode', options, { addSpecialTokens: 'boolean' })
    const parts = this.#encoder.postProcessor.process([this.#tokensOf(text, 0)], options.addSpecialTokens ?? true)
    return Int32Array.from(parts.flatMap(({ ids }) => ids))
  }

  decode(ids: ArrayLike<number>, options: DecodingOptions = {}): string {
    if (dtypeOf(ids)) checkAttached('decode', ids as Int32Array)
    else if (!Array.isArray(ids)) throw new ArgumentError(`decode: expected an array of ids, got ${describe(ids)}`)
    const decoder = this.#newDecoder('decode', options)
    const parts: string[] = []
    for (let i = 0; i < ids.length; i++) parts.push(decoder.push(ids[i]!))
    return parts.join('') + decoder.flush()
  }

  decoder(options: DecodingOptions = {}): TokenDecoder {
    return this.#newDecoder('decoder', options)
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions & { tokenize: false }): string
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions & { tokenize?: true }): Int32Array
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Int32Array | string {
    const text = this.#chatTemplates.render(messages, options, this.#namedTokens)
    return (options.tokenize ?? true) ? this.encode(text, { addSpecialTokens: false }) : text
  }

  tokenToId(token: string): number | undefined {
    return this.#ids.get(token)
  }

  idToToken(id: number): string | undefined {
    return this.#tokens[id]
  }

  /** Writes `tokenizer.json` (or the files that say more) and `tokenizer_config.json` as they were read, each atomically. */
  async save(folder: string): Promise<void> {
    checkPath('save', folder)
    await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
      throw fileError('save', folder, cause)
    })
    const text = (json: unknown): string => `${JSON.stringify(json, null, 2)}\n`
    await writeTextAtomically(join(folder, configFile), text(this.#files.config), 'save')
    const { originals, tokenizer } = this.#files
    for (const [name, bytes] of Object.entries(originals ?? { [tokenizerFile]: Buffer.from(text(tokenizer)) }))
      await writeFileAtomically(join(folder, name), (handle) => handle.writeFile(bytes), 'save')
  }

  #tokensOf(text: string, sequence: number): Tokens {
    const ids: number[] = []
    const starts: number[] = []
    const ends: number[] = []
    const words: number[] = []
    let word = 0
    for (const { text: section, token } of this.#added.split(text.toWellFormed())) {
      const pieces = token ? [section] : this.#preTokenize(section)
      for (const piece of pieces) {
        if (piece.text === '') continue
        const made = token
          ? { ids: [token.id], starts: [0], ends: [piece.text.length] }
          : this.#model.tokenize(piece.text)
        for (let i = 0; i < made.ids.length; i++) {
          ids.push(made.ids[i]!)
          starts.push(piece.startOf(made.starts[i]!))
          ends.push(piece.endOf(made.ends[i]! - 1))
          words.push(word)
        }
        word++
      }
    }
    return { ids, starts, ends, words, type: 0, sequence }
  }

  #newDecoder(operation: string, options: DecodingOptions): TokenDecoder {
    checkOptions(operation, options, { skipSpecialTokens: 'boolean', cleanUpTokenizationSpaces: 'boolean' })
    const { skipSpecialTokens = false, cleanUpTokenizationSpaces = this.#cleansUp } = options
    const steps = (cleanUpTokenizationSpaces ? chain([this.#decoder, cleaning]) : this.#decoder)()
    return {
      push: (id) => {
        const token = typeof id === 'number' ? this.#tokens[id] : undefined
        if (token === undefined)
          throw new ArgumentError(
            `${operation}: expected an id from 0 to ${this.vocabSize - 1} that has a token, got ${describe(id)}`,
          )
        return skipSpecialTokens && this.#special.has(id) ? '' : steps.push(token).join('')
      },
      flush: () => steps.flush().join(''),
    }
  }
}

/** The added tokens of tokenizer.json, and those that only tokenizer_config.json knows. */
function addedTokens(
  fields: JsonFields,
  config: JsonFields,
  vocab: ReadonlyMap<string, number>,
  where: string,
): AddedToken[] {
  const own = fields.raw('added_tokens') === undefined ? [] : fields.objects('added_tokens')
  const decoder = config.optionalObject('added_tokens_decoder')
  const others = decoder ? Object.keys(config.raw('added_tokens_decoder') as object) : []
  const limit = largestId(vocab.size + own.length + others.length)
  const tokens = new Map<string, AddedToken>()
  for (const token of own) {
    const read = readAddedToken(token, token.integer('id', 0, limit))
    tokens.set(read.content, read)
  }
  for (const key of others) {
    const id = Number(key)
    if (!/^\d+$/.test(key) || id > limit)
      throw new FileError(`${config.where}: added_tokens_decoder: ${describe(key)} should be an id up to ${limit}`)
    const read = readAddedToken(decoder!.object(key), id)
    if (!tokens.has(read.content)) tokens.set(read.content, read)
  }
  const ids = new Map([...tokens.values()].map(({ id, content }) => [id, content]))
  if (ids.size !== tokens.size) throw new FileError(`${where}: two added tokens have the same id`)
  return [...tokens.values()]
}

/** Several names may have one id; the last counts. */
function tokensById(ids: ReadonlyMap<string, number>): (string | undefined)[] {
  let size = 0
  for (const id of ids.values()) size = Math.max(size, id + 1)
  const tokens = new Array<string | undefined>(size).fill(undefined)
  for (const [token, id] of ids) tokens[id] = token
  return tokens
}

const names = ['bos', 'eos', 'pad', 'unk', 'cls', 'sep', 'mask'] as const

/** The ids of `bos_token` and its like. A name that is not in the vocabulary counts as none. */
function namedTokens(config: JsonFields, ids: ReadonlyMap<string, number>): Map<string, number> {
  const found = new Map<string, number>()
  for (const name of names) {
    const key = `${name}_token`
    const value = config.raw(key)
    if (value === undefined) continue
    const id = ids.get(typeof value === 'string' ? value : config.object(key).string('content'))
    if (id !== undefined) found.set(name, id)
  }
  return found
}
