/** Text to the ids that a model reads, and back. */
export interface Tokenizer {
  /** Ids are whole numbers in [0, vocabSize). */
  readonly vocabSize: number
  /** Stands at the beginning of a sequence, where the tokenizer has such a token. */
  readonly bosTokenId?: number
  /** Ends a sequence, where the tokenizer has such a token. */
  readonly eosTokenId?: number
  /** Throws ArgumentError for text that the vocabulary can not express. */
  encode(text: string): Int32Array
  /** Throws ArgumentError for an id that is none. */
  decode(ids: ArrayLike<number>): string
  /** Decodes ids one by one as they are generated. */
  decoder(): TokenDecoder
  /** Writes `tokenizer.json` in the format of Hugging Face, atomically; makes the folder if it is missing. */
  save(folder: string): Promise<void>
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
