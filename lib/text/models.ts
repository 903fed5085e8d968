import { BPE, WordPiece } from './huggingface.ts'
import { describe, FileError } from '../errors.ts'
import { tokenNamed } from './added-tokens.ts'
import type { JsonFields } from './json-fields.ts'
import { byteTokens, notInVocabulary, type TokenModel, type WordTokens } from './token-model.ts'
import { unigram } from './unigram.ts'

/** The model that a tokenizer.json describes. Throws FileError for a type that is not supported. */
export function readModel(fields: JsonFields): TokenModel {
  return fields.choice('type', kinds, typeOfOld(fields))(fields)
}

const kinds: Readonly<Record<string, (fields: JsonFields) => TokenModel>> = {
  BPE: bytePairs,
  WordPiece: wordPiece,
  Unigram: unigram,
  WordLevel: wordLevel,
}

/** Old files do not name the type of their model. */
function typeOfOld(fields: JsonFields): string | undefined {
  if (Array.isArray(fields.raw('vocab'))) return 'Unigram'
  return fields.raw('merges') !== undefined ? 'BPE' : fields.raw('continuing_subword_prefix') ? 'WordPiece' : undefined
}

/** Words come again and again. */
export function remember(tokenize: (word: string) => WordTokens): (word: string) => WordTokens {
  const known = new Map<string, WordTokens>()
  return (word) => {
    if (word.length > 64) return tokenize(word)
    let tokens = known.get(word)
    if (!tokens) {
      tokens = tokenize(word)
      if (known.size >= 20_000) known.clear()
      known.set(word, tokens)
    }
    return tokens
  }
}

/** Ids far above the number of tokens would ask for memory that the file does not account for. */
export const largestId = (count: number): number => count * 16 + 65_536

export function readVocab(fields: JsonFields): Map<string, number> {
  const entries = Object.entries((fields.object('vocab'), fields.raw('vocab') as Record<string, unknown>))
  if (entries.length === 0) throw new FileError(`${fields.where}: the vocab is empty`)
  const limit = largestId(entries.length)
  const seen = new Set<number>()
  for (const [token, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > limit)
      throw new FileError(
        `${fields.where}: the id of ${describe(token)} should be an integer from 0 to ${limit}, got ${describe(id)}`,
      )
    if (seen.has(id))
      throw new FileError(`${fields.where}: the id ${id} of ${describe(token)} is that of another token too`)
    seen.add(id)
  }
  return new Map(entries as [string, number][])
}

function unknown(fields: JsonFields, vocab: ReadonlyMap<string, number>): { unknownId?: number } {
  const token = fields.optionalString('unk_token')
  const id = token === undefined ? undefined : vocab.get(token)
  return id === undefined ? {} : { unknownId: id }
}

function wordLevel(fields: JsonFields): TokenModel {
  const vocab = readVocab(fields)
  const { unknownId } = unknown(fields, vocab)
  return {
    vocab,
    ...(unknownId !== undefined && { unknownId }),
    tokenize: (word) => {
      const id = vocab.get(word) ?? unknownId
      if (id === undefined) throw notInVocabulary(word)
      return { ids: [id], starts: [0], ends: [word.length] }
    },
  }
}

function wordPiece(fields: JsonFields): TokenModel {
  const vocab = readVocab(fields)
  const unk = fields.string('unk_token', '[UNK]')
  const unknownId = tokenNamed(vocab, unk, fields.where)
  const prefix = fields.string('continuing_subword_prefix', '##')
  const model = new WordPiece({
    type: 'WordPiece',
    vocab: fields.raw('vocab') as Record<string, number>,
    unk_token: unk,
    continuing_subword_prefix: prefix,
    max_input_chars_per_word: fields.integer('max_input_chars_per_word', 1, 10_000, 100),
  })
  return {
    vocab,
    unknownId,
    tokenize: (word) => {
      const pieces = model.encode([word])
      if (pieces.length === 1) return { ids: [vocab.get(pieces[0]!)!], starts: [0], ends: [word.length] }
      return inOrder(
        pieces,
        (piece, i) => piece.length - (i > 0 ? prefix.length : 0),
        (piece) => vocab.get(piece)!,
      )
    },
  }
}

/** Pieces that lie one after another. */
function inOrder(
  pieces: readonly string[],
  lengthOf: (piece: string, i: number) => number,
  idOf: (piece: string) => number,
): WordTokens {
  const [ids, starts, ends]: number[][] = [[], [], []] as number[][]
  let position = 0
  for (const [i, piece] of pieces.entries()) {
    ids!.push(idOf(piece))
    starts!.push(position)
    ends!.push((position += lengthOf(piece, i)))
  }
  return { ids: ids!, starts: starts!, ends: ends! }
}

function readMerges(fields: JsonFields, vocab: ReadonlyMap<string, number>): [string, string][] {
  return fields.list('merges').map((merge, i) => {
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === 'string' && part !== ''))
      throw new FileError(`${fields.where}: merges[${i}] should be two tokens, got ${describe(merge)}`)
    const [left, right] = pair as [string, string]
    if (!vocab.has(left) || !vocab.has(right) || !vocab.has(left + right))
      throw new FileError(`${fields.where}: merges[${i}], ${describe(merge)}: a part or the whole is not in the vocab`)
    return [left, right]
  })
}

function bytePairs(fields: JsonFields): TokenModel {
  if (fields.raw('dropout') !== undefined && fields.raw('dropout') !== 0)
    throw fields.wrong('dropout', '0: tokens that depend on chance are not supported')
  if (fields.string('continuing_subword_prefix', '') !== '')
    throw fields.wrong('continuing_subword_prefix', 'empty: it is not supported with BPE')
  const vocab = readVocab(fields)
  return bytePairsFrom({
    vocab,
    merges: readMerges(fields, vocab),
    ...unknown(fields, vocab),
    suffix: fields.string('end_of_word_suffix', ''),
    fusesUnknown: fields.boolean('fuse_unk', false),
    knowsWholeWords: fields.boolean('ignore_merges', false),
    byteIds: fields.boolean('byte_fallback', false) ? byteTokens(vocab) : [],
  })
}

/** What a BPE model is made of. */
export interface BytePairParts {
  readonly vocab: ReadonlyMap<string, number>
  readonly merges: readonly (readonly [left: string, right: string])[]
  /** The order of merging, where several merges may have the same; else that of the list. */
  readonly ranks?: readonly number[]
  readonly unknownId?: number
  /** Ends the last piece of a word. */
  readonly suffix?: string
  /** Makes several unknown characters one token. */
  readonly fusesUnknown: boolean
  /** A word that is in the vocabulary is one token, whatever the merges. */
  readonly knowsWholeWords?: boolean
  /** What spells unknown characters, if anything does. */
  readonly byteIds: readonly (number | undefined)[]
}

export function bytePairsFrom(parts: BytePairParts): TokenModel {
  const { vocab, merges, ranks, unknownId, suffix, fusesUnknown, knowsWholeWords = false, byteIds } = parts
  const model = new BPE({ type: 'BPE', vocab: {}, merges, end_of_word_suffix: suffix || undefined })
  if (ranks) for (const [i, pair] of merges.entries()) model.bpe_ranks.set(JSON.stringify(pair), ranks[i]!)
  const tokenize = (word: string): WordTokens => {
    const known = knowsWholeWords ? vocab.get(word) : undefined
    if (known !== undefined) return { ids: [known], starts: [0], ends: [word.length] }
    const tokens = { ids: [] as number[], starts: [] as number[], ends: [] as number[] }
    const add = (id: number, start: number, end: number): void => {
      tokens.ids.push(id)
      tokens.starts.push(start)
      tokens.ends.push(end)
    }
    let start = 0
    let afterUnknown = false
    for (const piece of model.bpe(word)) {
      const end = Math.min(start + piece.length, word.length)
      const id = vocab.get(piece)
      const bytes = id === undefined ? [...Buffer.from(piece)].map((byte) => byteIds[byte]) : []
      if (id !== undefined) add(id, start, end)
      else if (bytes.every((byte) => byte !== undefined)) for (const byte of bytes) add(byte, start, end)
      else if (unknownId !== undefined && fusesUnknown && afterUnknown) tokens.ends[tokens.ends.length - 1] = end
      else if (unknownId !== undefined) add(unknownId, start, end)
      else throw notInVocabulary(piece)
      afterUnknown = id === undefined && bytes.some((byte) => byte === undefined)
      start = end
    }
    return tokens
  }
  return { vocab, ...(unknownId !== undefined && { unknownId }), tokenize }
}
