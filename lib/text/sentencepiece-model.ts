import { FileError } from '../errors.ts'
import { decodeUtf8 } from '../files/read-file.ts'
import { readProtobuf, type ProtobufFields } from './protobuf.ts'

export const pieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const
const modelType: Readonly<Record<number, 'unigram' | 'bpe'>> = { 1: 'unigram', 2: 'bpe' }

export interface Piece {
  readonly piece: string
  readonly score: number
  readonly type: number
}

/** What a `.model` file says (sentencepiece_model.proto). */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[]
  readonly type: 'unigram' | 'bpe'
  readonly byteFallback: boolean
  readonly unknownSurface: string
  readonly names: Readonly<Record<string, string>>
  readonly charsmap: Uint8Array | undefined
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
}

/** Throws FileError for what is damaged or not supported; `where` begins its message. */
export function readSentencePieceModel(bytes: Uint8Array, where: string): SentencePieceModel {
  const fields = readProtobuf(bytes, where)
  const inside = (number: number): ProtobufFields => {
    const value = fields.get(number)?.at(-1)
    return value instanceof Uint8Array ? readProtobuf(value, where) : new Map<number, never>()
  }
  const pieces = (fields.get(1) ?? []).map((value, id): Piece => {
    const piece = value instanceof Uint8Array ? readProtobuf(value, where) : undefined
    const [text, score = 0, type = pieceType.normal] = [1, 2, 3].map((number) => piece?.get(number)?.at(-1))
    if (!(text instanceof Uint8Array) || typeof score !== 'number' || typeof type !== 'number' || Number.isNaN(score))
      throw new FileError(`${where}: piece ${id} is damaged`)
    return { piece: decodeUtf8(text, `${where}: piece ${id}`), score, type }
  })
  if (pieces.length === 0) throw new FileError(`${where}: not a model of SentencePiece: it has no pieces`)
  const trainer = inside(2)
  const normalizer = inside(3)
  const number = (from: ProtobufFields, field: number, fallback: number): number => {
    const value = from.get(field)?.at(-1) ?? fallback
    if (typeof value !== 'number') throw new FileError(`${where}: field ${field} of a specification is damaged`)
    return value
  }
  const type = modelType[number(trainer, 3, 1)]
  if (!type)
    throw new FileError(
      `${where}: expected a unigram or BPE model; models of words and of characters are not supported`,
    )
  if (number(trainer, 24, 0)) throw new FileError(`${where}: treat_whitespace_as_suffix is not supported`)
  if (!number(normalizer, 5, 1)) throw new FileError(`${where}: escape_whitespaces = false is not supported`)
  const surface = trainer.get(44)?.at(-1)
  const charsmap = normalizer.get(2)?.at(-1)
  const names: Record<string, string> = {}
  for (const [name, field, fallback] of [
    ['unk', 40, 0],
    ['bos', 41, 1],
    ['eos', 42, 2],
    ['pad', 43, -1],
  ] as const) {
    const piece = pieces[number(trainer, field, fallback)]
    if (piece) names[`${name}_token`] = piece.piece
  }
  return {
    pieces,
    type,
    byteFallback: number(trainer, 35, 0) === 1,
    unknownSurface: surface instanceof Uint8Array ? decodeUtf8(surface, where) : ' \u2047 ',
    names,
    charsmap: charsmap instanceof Uint8Array && charsmap.length ? charsmap : undefined,
    addDummyPrefix: number(normalizer, 3, 1) === 1,
    removeExtraWhitespaces: number(normalizer, 4, 1) === 1,
  }
}
