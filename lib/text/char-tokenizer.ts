import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { isObject, readJson } from '../files/read-file.ts'
import { checkAttached, dtypeOf } from '../tensor/dtype.ts'
import { CallableTokenizer } from './callable-tokenizer.ts'
import { ChatTemplates, type ChatMessage, type ChatTemplateOptions } from './chat-template.ts'
import { cleaning, type DecodingStep } from './decoders.ts'
import { noPostProcessor } from './post-processors.ts'
import { tokenizerFile, type DecodingOptions, type TokenDecoder, type Tokenizer } from './tokenizer.ts'

/** Splits into single code points, newlines included; means the same to JavaScript and to Hugging Face's tokenizers. */
const anyCharacter = '[\\s\\S]'

/** One token per code point, numbered in the order of the code points, as nanoGPT's `shakespeare_char`. */
export class CharTokenizer extends CallableTokenizer implements Tokenizer {
  readonly specialTokenIds: readonly number[] = []
  readonly #characters: readonly string[]
  readonly #ids = new Map<string, number>()

  private constructor(characters: readonly string[]) {
    super(() => ({
      tokensOf: (text, sequence) => {
        const ids = [...this.encode(text)]
        const lengths = ids.map((id) => characters[id]!.length)
        const ends = runningSums(lengths)
        const starts = ends.map((end, i) => end - lengths[i]!)
        return { ids, starts, ends, words: ids.map((_, i) => i), type: 0, sequence }
      },
      postProcessor: noPostProcessor,
      hasTypes: false,
      paddingSide: 'right',
      truncationSide: 'right',
    }))
    if (!Array.isArray(characters) || !characters.every((character) => typeof character === 'string'))
      throw new ArgumentError(
        `CharTokenizer: expected characters, got ${describe(characters)}; use CharTokenizer.train or .load`,
      )
    this.#characters = characters
    for (const [id, character] of characters.entries()) this.#ids.set(character, id)
  }

  /** The vocabulary is the set of characters of `text`. Throws ArgumentError for no text and for halves of characters. */
  static train(text: string): CharTokenizer {
    if (typeof text !== 'string' || text === '')
      throw new ArgumentError(`CharTokenizer.train: expected a text of at least one character, got ${describe(text)}`)
    const characters = [...new Set(text)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)
    const half = characters.find(isSurrogate)
    if (half !== undefined)
      throw new ArgumentError(
        `CharTokenizer.train: the text is not valid Unicode: ${name(half)} at position ${positionOf(text, half)} is half a character`,
      )
    return new CharTokenizer(characters)
  }

  /** Reads `tokenizer.json` of a folder. Throws FileError if it is missing, damaged, or of another kind. */
  static async load(folder: string): Promise<CharTokenizer> {
    const path = join(checkPath('CharTokenizer.load', folder), tokenizerFile)
    return CharTokenizer.fromJson(await readJson(path, 'CharTokenizer.load'), `CharTokenizer.load: ${path}`)
  }

  /** @internal True if a tokenizer.json is one of single characters. */
  static describes(json: Record<string, unknown>): boolean {
    return notCharacters(json) === undefined
  }

  /** @internal From the object in a tokenizer.json; `where` begins the message of the FileError. */
  static fromJson(json: Record<string, unknown>, where: string): CharTokenizer {
    const wrong = notCharacters(json)
    if (wrong !== undefined) throw new FileError(`${where}: not a tokenizer of single characters: ${wrong}`)
    const vocab = Object.entries((json['model'] as { vocab: Record<string, number> }).vocab)
    const characters = new Array<string | undefined>(vocab.length)
    for (const [character, id] of vocab) {
      if (!Number.isInteger(id) || id < 0 || id >= vocab.length || characters[id] !== undefined)
        throw new FileError(
          `${where}: the ids should be 0 to ${vocab.length - 1}, each once; ${JSON.stringify(character)} has ${describe(id)}`,
        )
      characters[id] = character
    }
    return new CharTokenizer(characters as string[])
  }

  get vocabSize(): number {
    return this.#characters.length
  }

  /** There are no special tokens to add; the option is taken as that of any tokenizer. */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): Int32Array {
    checkOptions('encode', options, { addSpecialTokens: 'boolean' })
    if (typeof text !== 'string') throw new ArgumentError(`encode: expected a string, got ${describe(text)}`)
    const ids = new Int32Array(text.length)
    let length = 0
    for (const character of text) {
      const id = this.#ids.get(character)
      if (id === undefined)
        throw new ArgumentError(
          `encode: the character ${name(character)} at position ${positionOf(text, character)} is not in the vocabulary of ` +
            `${this.vocabSize} characters: ${this.#preview()}`,
        )
      ids[length++] = id
    }
    return ids.slice(0, length)
  }

  decode(ids: ArrayLike<number>, options: DecodingOptions = {}): string {
    if (dtypeOf(ids)) checkAttached('decode', ids as Int32Array)
    else if (!Array.isArray(ids)) throw new ArgumentError(`decode: expected an array of ids, got ${describe(ids)}`)
    const step = cleanUp('decode', options)
    const parts: string[] = []
    for (let i = 0; i < ids.length; i++) parts.push(...step.push(this.#character('decode', ids[i]!)))
    return [...parts, ...step.flush()].join('')
  }

  decoder(options: DecodingOptions = {}): TokenDecoder {
    const step = cleanUp('decoder', options)
    return { push: (id) => step.push(this.#character('push', id)).join(''), flush: () => step.flush().join('') }
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions & { tokenize: false }): string
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions & { tokenize?: true }): Int32Array
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Int32Array | string {
    const text = noTemplates.render(messages, options, {})
    return (options.tokenize ?? true) ? this.encode(text, { addSpecialTokens: false }) : text
  }

  tokenToId(token: string): number | undefined {
    return this.#ids.get(token)
  }

  idToToken(id: number): string | undefined {
    return this.#characters[id]
  }

  async save(folder: string): Promise<void> {
    checkPath('save', folder)
    await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
      throw fileError('save', folder, cause)
    })
    const json = {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Split', pattern: { Regex: anyCharacter }, behavior: 'Isolated', invert: false },
      post_processor: null,
      decoder: { type: 'Fuse' },
      model: { type: 'WordLevel', vocab: Object.fromEntries(this.#ids), unk_token: '<unk>' },
    }
    await writeTextAtomically(join(folder, tokenizerFile), `${JSON.stringify(json, null, 2)}\n`, 'save')
  }

  #character(operation: string, id: number): string {
    const character = typeof id === 'number' ? this.#characters[id] : undefined
    if (character === undefined)
      throw new ArgumentError(`${operation}: expected an id from 0 to ${this.vocabSize - 1}, got ${describe(id)}`)
    return character
  }

  #preview(): string {
    const shown = 100
    const text = JSON.stringify(this.#characters.slice(0, shown).join(''))
    return this.vocabSize > shown ? `${text} and ${this.vocabSize - shown} more` : text
  }
}

/** There are none in its files, but one can be given. */
const noTemplates = new ChatTemplates(undefined, 'CharTokenizer')

function cleanUp(operation: string, options: DecodingOptions): DecodingStep {
  checkOptions(operation, options, { skipSpecialTokens: 'boolean', cleanUpTokenizationSpaces: 'boolean' })
  return options.cleanUpTokenizationSpaces ? cleaning() : { push: (text) => [text], flush: () => [] }
}

/** Why a tokenizer.json does something else than to number single characters, or undefined. */
function notCharacters(json: Record<string, unknown>): string | undefined {
  const { model, pre_tokenizer: split, normalizer, post_processor: after, decoder, added_tokens: added } = json
  if (!isObject(model) || model['type'] !== 'WordLevel')
    return `expected a WordLevel model, got ${describe(isObject(model) ? model['type'] : model)}`
  if (!isObject(model['vocab']) || Object.keys(model['vocab']).length === 0) return 'the vocabulary is missing or empty'
  const long = Object.keys(model['vocab']).find((token) => [...token].length !== 1 || isSurrogate(token))
  if (long !== undefined) return `the token ${describe(long)} is not one character`
  const { type, pattern, behavior, invert } = isObject(split) ? split : {}
  if (
    type !== 'Split' ||
    !isObject(pattern) ||
    pattern['Regex'] !== anyCharacter ||
    behavior !== 'Isolated' ||
    invert === true
  )
    return `expected a pre_tokenizer that splits at every character by ${anyCharacter}`
  if (!isObject(decoder) || decoder['type'] !== 'Fuse') return 'expected the decoder Fuse'
  if (normalizer || after || (Array.isArray(added) && added.length))
    return `${normalizer ? 'a normalizer' : after ? 'a post_processor' : 'added tokens'} would change the text`
  return undefined
}

/** True for half of a surrogate pair alone, which no file can hold. */
const isSurrogate = (character: string): boolean => /^[\uD800-\uDFFF]$/.test(character)

/** The first place in code units where iterating over `text` meets `character`. */
function positionOf(text: string, character: string): number {
  let position = 0
  for (const other of text) {
    if (other === character) break
    position += other.length
  }
  return position
}

/** `"é" (U+00E9)`. */
function name(character: string): string {
  return `${JSON.stringify(character)} (U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')})`
}

function runningSums(numbers: readonly number[]): number[] {
  let sum = 0
  return numbers.map((number) => (sum += number))
}
