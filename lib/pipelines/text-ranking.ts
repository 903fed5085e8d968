import { ArgumentError, checkInteger, checkOptions } from '../errors.ts'
import { AutoModelForSequenceClassification, type TextModel } from '../models/auto.ts'
import { readRankingFunction } from '../models/embedding-recipe.ts'
import { encodeRows, mapRows, rowOf, type TruncationOptions } from './rows.ts'
import { largest, sigmoid } from './scores.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

export interface RankingQuery {
  query: string
  documents: readonly string[]
}

export interface RankedDocument {
  /** Which of the documents it is. */
  index: number
  score: number
  document: string
}

export interface TextRankingOptions extends CallOptions, TruncationOptions {
  /** Only the k best; all unless given. */
  topK?: number
}

/** The documents, the best answer to the query first. */
export interface RankTexts {
  (query: RankingQuery, options?: TextRankingOptions): Promise<RankedDocument[]>
  (queries: readonly RankingQuery[], options?: TextRankingOptions): Promise<RankedDocument[][]>
}

const task = 'text-ranking'
const defaults = { topK: 'any', truncation: 'boolean' } as const
const known = { ...defaults, signal: 'signal' } as const

/**
 * How well documents answer a query, by a cross-encoder, which reads both together (Nogueira and Cho 2019). Scores are as
 * sentence-transformers' CrossEncoder gives them. With `truncation` documents are cut, queries are not.
 */
export const textRanking: Task<TextModel, RankTexts> = {
  open: (model, options) => AutoModelForSequenceClassification.fromPretrained(model, options),
  defaults,
  make: async ({ model, tokenizer, path }, given) => {
    if (model.labels.length !== 1)
      throw new ArgumentError(
        `${task}: ${path}: expected a model that gives one score, got one with ${model.labels.length} labels; open it for text-classification`,
      )
    const apply = (await readRankingFunction(path)) === 'sigmoid' ? sigmoid : (score: number): number => score
    const settings = (options: TextRankingOptions | undefined) => {
      const { topK, truncation = false, signal } = mergeOptions(task, given, options, known)
      return { topK: topK === undefined ? Infinity : checkInteger(task, 'topK', topK, 1), truncation, signal }
    }
    settings({})
    return (async (input: unknown, options?: TextRankingOptions) => {
      const { topK, truncation, signal } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a { query, documents }', isQuery, input)
      const rows = await encodeRows(
        { model, tokenizer },
        inputs.flatMap(({ query, documents }) => documents.map(() => query)),
        {
          pairs: inputs.flatMap(({ documents }) => documents),
          truncation: truncation && 'onlySecond',
          signal,
        },
      )
      const scores = await mapRows(
        (batch, running) => model.logits(batch, running),
        rows,
        { signal },
        (logits, place) => apply(rowOf(logits, place)[0]!),
      )
      let first = 0
      const answers = inputs.map(({ documents }) => {
        const mine = scores.slice(first, (first += documents.length))
        return largest(mine, topK).map((index): RankedDocument => ({
          index,
          score: mine[index]!,
          document: documents[index]!,
        }))
      })
      return isSingle ? answers[0] : answers
    }) as RankTexts
  },
}

function isQuery(input: unknown): input is RankingQuery {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return false
  checkOptions(task, input, ['query', 'documents'])
  const { query, documents } = input as RankingQuery
  return isText(query) && Array.isArray(documents) && documents.every(isText)
}
