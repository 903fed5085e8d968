import type { Tokenizer } from '../text/tokenizer.ts'
import { largest } from './scores.ts'

/** A token with its label. Places are [start, end) of the text in UTF-16 units. */
export interface TokenEntity {
  entity: string
  score: number
  /** The number of the token in its row. */
  index: number
  word: string
  start: number
  end: number
}

/** Neighbouring tokens of one label. */
export interface EntityGroup {
  entityGroup: string
  score: number
  word: string
  start: number
  end: number
}

export const aggregationStrategies = ['none', 'simple', 'first', 'average', 'max'] as const
export type AggregationStrategy = (typeof aggregationStrategies)[number]

/** A token of a text as the model scored it. */
export interface ScoredToken {
  readonly id: number
  readonly index: number
  readonly start: number
  readonly end: number
  /** The word of the text that it is of. */
  readonly wordId: number
  /** Probabilities of the labels. */
  readonly scores: ArrayLike<number>
}

/** Tokens that have one label together. */
interface Labelled {
  readonly tokens: readonly ScoredToken[]
  readonly label: string
  readonly score: number
}

/**
 * Tokens → what they name together. First a label for each token ('simple'), or one for each word: that of its first
 * token, of the mean of its tokens' probabilities, or of its surest token. Then neighbours of the same label are joined,
 * where 'B-' begins anew.
 */
export function groupEntities(
  text: string,
  tokens: readonly ScoredToken[],
  strategy: Exclude<AggregationStrategy, 'none'>,
  labels: readonly string[],
  tokenizer: Pick<Tokenizer, 'decode' | 'unkTokenId'>,
): EntityGroup[] {
  const groups: Labelled[][] = []
  for (const part of (strategy === 'simple' ? tokens.map((token) => [token]) : words(tokens)).map(label)) {
    const group = groups.at(-1)
    if (group && kind(group.at(-1)!.label) === kind(part.label) && !part.label.startsWith('B-')) group.push(part)
    else groups.push([part])
  }
  return groups.map((parts) => {
    const all = parts.flatMap((part) => part.tokens)
    const [start, end] = [all[0]!.start, all.at(-1)!.end]
    const ids = all.map(({ id }) => id)
    return {
      entityGroup: kind(parts[0]!.label),
      score: parts.reduce((sum, { score }) => sum + score, 0) / parts.length,
      // What the vocabulary lacks is read in the text.
      word: ids.includes(tokenizer.unkTokenId!) ? text.slice(start, end) : tokenizer.decode(ids).trim(),
      start,
      end,
    }
  })

  function label(word: readonly ScoredToken[]): Labelled {
    const scores = strategy === 'average' ? mean(word) : strategy === 'max' ? surest(word) : word[0]!.scores
    const [id] = largest(scores, 1)
    return { tokens: word, label: labels[id!]!, score: scores[id!]! }
  }
}

const kind = (label: string): string => label.replace(/^[BI]-/, '')

function words(tokens: readonly ScoredToken[]): ScoredToken[][] {
  const made: ScoredToken[][] = []
  for (const token of tokens)
    if (made.at(-1)?.[0]!.wordId === token.wordId) made.at(-1)!.push(token)
    else made.push([token])
  return made
}

function mean(word: readonly ScoredToken[]): Float64Array {
  const sums = new Float64Array(word[0]!.scores.length)
  for (const { scores } of word) for (let i = 0; i < sums.length; i++) sums[i]! += scores[i]! / word.length
  return sums
}

function surest(word: readonly ScoredToken[]): ArrayLike<number> {
  const most = (token: ScoredToken): number => token.scores[largest(token.scores, 1)[0]!]!
  return word.reduce((best, token) => (most(token) > most(best) ? token : best)).scores
}
