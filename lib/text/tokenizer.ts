import type { ChatMessage, ChatTemplateOptions } from './chat-template.ts'
import type { Encoding, EncodingOptions } from './encoding.ts'

/** Text to the ids that a model reads, and back. */
export interface Tokenizer {
  /** One or several texts as a model takes them: ragged rows unless padding is asked for. */
  (texts: string | readonly string[], options?: EncodingOptions): Encoding
  /** Ids are whole numbers in [0, vocabSize). */
  readonly vocabSize: number
  /** Stands at the beginning of a sequence, where the tokenizer has such a token. */
  readonly bosTokenId?: number
  /** Ends a sequence, where the tokenizer has such a token. */
  readonly eosTokenId?: number
  /** Fills rows up, where the tokenizer has such a token. */
  readonly padTokenId?: number
  /** Stands for what is not in the vocabulary, where the tokenizer has such a token. */
  readonly unkTokenId?: number
  /** Stands before a text that is classified, where the tokenizer has such a token. */
  readonly clsTokenId?: number
  /** Stands between texts, where the tokenizer has such a token. */
  readonly sepTokenId?: number
  /** Is what a masked language model fills in, where the tokenizer has such a token. */
  readonly maskTokenId?: number
  /** The ids of all special tokens, in order. */
  readonly specialTokenIds: readonly number[]
  /** How many tokens the model takes, where the files say so. */
  readonly modelMaxLength?: number
  /** Throws ArgumentError for text that the vocabulary can not express. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array
  /** Throws ArgumentError for an id that is none. */
  decode(ids: ArrayLike<number>, options?: DecodingOptions): string
  /** Decodes ids one by one as they are generated. */
  decoder(options?: DecodingOptions): TokenDecoder
  /** The id of a token, or undefined. */
  tokenToId(token: string): number | undefined
  /** The token of an id as it stands in the vocabulary, or undefined. */
  idToToken(id: number): string | undefined
  /**
   * A conversation as the model was trained to read it, by the chat template in its files: token ids, or text if
   * `tokenize` is false. Throws ArgumentError if there is no template, and for what the template refuses.
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions & { tokenize: false }): string
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions & { tokenize?: true }): Int32Array
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): Int32Array | string
  /** Writes `tokenizer.json` in the format of Hugging Face, atomically; makes the folder if it is missing. */
  save(folder: string): Promise<void>
}

export interface DecodingOptions {
  /** Leaves special tokens out; false unless given. */
  skipSpecialTokens?: boolean
  /** Takes out spaces before punctuation and contractions; as tokenizer_config.json says unless given, else false. */
  cleanUpTokenizationSpaces?: boolean
}

/** The pieces of `push` and the one of `flush`, joined, are what `decode` gives for all ids at once. */
export interface TokenDecoder {
  /** The text that is certain now and was not given yet; may be empty. */
  push(id: number): string
  /** What is left at the end. */
  flush(): string
}

/** The file of a model folder that holds the tokenizer. */
export const tokenizerFile = 'tokenizer.json'
