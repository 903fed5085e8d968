import { describe, FileError } from '../errors.ts'
import type { JsonFields } from './json-fields.ts'
import { byteTokens, notInVocabulary, type TokenModel, type WordTokens } from './token-model.ts'
import { PieceTrie } from './piece-trie.ts'

const longestPiece = 8192
/** How much worse an unknown character is than the worst piece (SentencePiece's kUnkPenalty). */
const unknownPenalty = 10

/**
 * Unigram language model: of all ways to put a word together from pieces the one whose scores (log-probabilities) have
 * the largest sum, by Viterbi from left to right; of equals the one that came first, whose last piece is the longest.
 * Kudo, Subword Regularization, 2018, section 3.2. Unknown characters in a row are one token.
 *
 * Not that of `@huggingface/tokenizers`: its tree of objects for XLM-R's 250,000 pieces takes 1 s and 119 MB.
 */
export function unigram(fields: JsonFields): TokenModel {
  const list = fields.list('vocab')
  if (list.length === 0) throw new FileError(`${fields.where}: the vocab is empty`)
  const scores = new Float64Array(list.length)
  const pieces: string[] = []
  let worst = Infinity
  for (const [id, entry] of list.entries()) {
    const [piece, score] = Array.isArray(entry) ? (entry as unknown[]) : []
    if (typeof piece !== 'string' || piece.length > longestPiece || typeof score !== 'number')
      throw new FileError(`${fields.where}: vocab[${id}] should be a piece and its score, got ${describe(entry)}`)
    scores[id] = score
    worst = Math.min(worst, score)
    pieces.push(piece)
  }
  const unknownId = fields.raw('unk_id') === undefined ? undefined : fields.integer('unk_id', 0, list.length - 1)
  const vocab = new Map(pieces.map((piece, id) => [piece, id]))
  const byteIds = fields.boolean('byte_fallback', false) ? byteTokens(vocab) : []
  return unigramFrom({ pieces, scores, worst, byteIds, vocab, ...(unknownId !== undefined && { unknownId }) })
}

/** What a unigram model is made of. */
export interface UnigramParts {
  /** By id; undefined for what is not found in text. */
  readonly pieces: readonly (string | undefined)[]
  readonly scores: Float64Array
  /** The lowest score of a piece. */
  readonly worst: number
  /** What spells unknown characters, if anything does. */
  readonly byteIds: readonly (number | undefined)[]
  readonly vocab: ReadonlyMap<string, number>
  readonly unknownId?: number
  /** The precision of sums; double unless given. */
  readonly round?: (sum: number) => number
}

export function unigramFrom(parts: UnigramParts): TokenModel {
  const { pieces, scores, worst, byteIds, vocab, unknownId, round = (sum) => sum } = parts
  const trie = new PieceTrie()
  for (const [id, piece] of pieces.entries()) if (piece !== undefined) trie.set(piece, id)
  const isUnknown = (id: number): boolean => id < 0 || id === unknownId
  const tokenize = (word: string): WordTokens => {
    const path = bestPath(word, trie, scores, round(worst - unknownPenalty), round)
    const tokens = { ids: [] as number[], starts: [] as number[], ends: [] as number[] }
    const add = (id: number, start: number, end: number): void => {
      tokens.ids.push(id)
      tokens.starts.push(start)
      tokens.ends.push(end)
    }
    for (let i = 0; i < path.length; i++) {
      let { id, end } = path[i]!
      const { start } = path[i]!
      if (isUnknown(id)) while (i + 1 < path.length && isUnknown(path[i + 1]!.id)) end = path[++i]!.end
      const text = word.slice(start, end)
      // Several unknown characters may happen to be a piece.
      if (id < 0) id = pieces[vocab.get(text) ?? -1] === undefined ? -1 : vocab.get(text)!
      const bytes = id < 0 ? [...Buffer.from(text)].map((byte) => byteIds[byte]) : []
      if (id >= 0) add(id, start, end)
      else if (bytes.every((byte) => byte !== undefined)) for (const byte of bytes) add(byte, start, end)
      else if (unknownId !== undefined) add(unknownId, start, end)
      else throw notInVocabulary(text)
    }
    return tokens
  }
  return { vocab, ...(unknownId !== undefined && { unknownId }), tokenize }
}

interface Step {
  /** -1 for what is in no piece. */
  readonly id: number
  readonly start: number
  readonly end: number
}

function bestPath(
  word: string,
  trie: PieceTrie,
  scores: Float64Array,
  unknownScore: number,
  round: (sum: number) => number,
): Step[] {
  const length = word.length
  const best = new Float64Array(length + 1)
  const from = new Int32Array(length + 1).fill(-1)
  const ids = new Int32Array(length + 1)
  for (let start = 0; start < length;) {
    const one = start + (word.codePointAt(start)! > 0xffff ? 2 : 1)
    let hasOne = false
    const reach = (end: number, id: number, score: number): void => {
      const sum = round(best[start]! + score)
      if (from[end]! >= 0 && sum <= best[end]!) return
      best[end] = sum
      from[end] = start
      ids[end] = id
    }
    trie.forEachPrefix(word, start, (end, id) => {
      reach(end, id, scores[id]!)
      hasOne ||= end === one
    })
    if (!hasOne) reach(one, -1, unknownScore)
    start = one
  }
  const steps: Step[] = []
  for (let end = length; end > 0; end = from[end]!) steps.push({ id: ids[end]!, start: from[end]!, end })
  return steps.reverse()
}
