import { ArgumentError, describe } from '../errors.ts'
import { byteOf } from './byte-characters.ts'

/** The tokens of one word: token i is `ids[i]` and covers the units [starts[i], ends[i]) of it. */
export interface WordTokens {
  readonly ids: readonly number[]
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

/** What numbers the pieces of text; the algorithms of BPE and WordPiece are those of `@huggingface/tokenizers`. */
export interface TokenModel {
  /** The id of each token. */
  readonly vocab: ReadonlyMap<string, number>
  tokenize(word: string): WordTokens
  /** The id for what has none, where there is one. */
  readonly unknownId?: number
}

/** Characters that stand for bytes are shown as what they stand for, where that is text. */
export function notInVocabulary(piece: string): ArgumentError {
  const bytes = [...piece].map((character) => byteOf.get(character))
  const isBytes = bytes.every((byte) => byte !== undefined)
  const shown = isBytes ? Buffer.from(bytes as number[]).toString() : piece
  return new ArgumentError(
    `encode: ${describe(shown.includes('\ufffd') ? piece : shown)} is not in the vocabulary, which has no token for what is unknown`,
  )
}

/** The ids of `<0x00>` to `<0xFF>`, which spell what is in no piece. */
export function byteTokens(vocab: ReadonlyMap<string, number>): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) => vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
}
