import { ArgumentError, describe } from '../errors.ts'
import { AutoModelForTokenClassification, type TextModel } from '../models/auto.ts'
import type { Encoding } from '../text/encoding.ts'
import {
  aggregationStrategies,
  groupEntities,
  type AggregationStrategy,
  type EntityGroup,
  type ScoredToken,
  type TokenEntity,
} from './entities.ts'
import { encodeRows, mapRows, rowOf, type TruncationOptions } from './rows.ts'
import { largest, softmax } from './scores.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

export interface TokenClassificationOptions extends CallOptions, TruncationOptions {
  /**
   * 'none' (unless given): a label for each token. 'simple': neighbouring tokens of one label are joined. 'first',
   * 'average', 'max': the tokens of a word have one label, that of the first, of the mean, of the surest.
   */
  aggregationStrategy?: AggregationStrategy
  /** Labels that are left out; 'O' unless given. */
  ignoreLabels?: readonly string[]
}

type Grouping = TokenClassificationOptions & { aggregationStrategy: Exclude<AggregationStrategy, 'none'> }

export interface ClassifyTokens {
  (text: string, options: Grouping): Promise<EntityGroup[]>
  (texts: readonly string[], options: Grouping): Promise<EntityGroup[][]>
  (text: string, options?: TokenClassificationOptions): Promise<TokenEntity[]>
  (texts: readonly string[], options?: TokenClassificationOptions): Promise<TokenEntity[][]>
}

const task = 'token-classification'
const defaults = { ignoreLabels: 'any', truncation: 'boolean' } as const
const known = { ...defaults, aggregationStrategy: 'any', signal: 'signal' } as const

/** Labels of tokens or words: names of people and places, parts of speech. */
export const tokenClassification: Task<TextModel, ClassifyTokens> = {
  open: (model, options) => AutoModelForTokenClassification.fromPretrained(model, options),
  defaults,
  make: ({ model, tokenizer }, given) => {
    const settings = (options: TokenClassificationOptions | undefined) => {
      const merged = mergeOptions(task, given, options, known)
      const { aggregationStrategy: strategy = 'none', ignoreLabels = ['O'], truncation = false, signal } = merged
      if (!aggregationStrategies.includes(strategy))
        throw new ArgumentError(
          `${task}: aggregationStrategy should be one of ${aggregationStrategies.join(', ')}, got ${describe(strategy)}`,
        )
      if (!Array.isArray(ignoreLabels) || !ignoreLabels.every(isText))
        throw new ArgumentError(`${task}: ignoreLabels should be names of labels, got ${describe(ignoreLabels)}`)
      return { strategy, ignoreLabels, truncation, signal }
    }
    settings({})
    return (async (input: unknown, options?: TokenClassificationOptions) => {
      const { strategy, ignoreLabels, truncation, signal } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a text', isText, input)
      const rows = await encodeRows({ model, tokenizer }, inputs, { truncation, signal, returnOffsets: true })
      const answers = await mapRows(
        (given, running) => model.logits(given, running),
        rows,
        { signal },
        (logits, place, row) => {
          const tokens = scoredTokens(rows, row, rowOf(logits, place), model.labels.length)
          const text = inputs[row]!
          return strategy === 'none'
            ? tokens.map((token) => entityOf(token, text)).filter(({ entity }) => !ignoreLabels.includes(entity))
            : groupEntities(text, tokens, strategy, model.labels, tokenizer).filter(
                ({ entityGroup }) => !ignoreLabels.includes(entityGroup),
              )
        },
      )
      return isSingle ? answers[0] : answers

      function entityOf({ id, index, start, end, scores }: ScoredToken, text: string): TokenEntity {
        const [best] = largest(scores, 1)
        const word = id === tokenizer.unkTokenId ? text.slice(start, end) : tokenizer.idToToken(id)!
        return { entity: model.labels[best!]!, score: scores[best!]!, index, word, start, end }
      }
    }) as ClassifyTokens
  },
}

/** The tokens of a row that stand for text. */
function scoredTokens(rows: Encoding, row: number, logits: Float32Array, labels: number): ScoredToken[] {
  const { inputIds, offsets, wordIds } = rows
  return inputIds[row]!.flatMap((id, index) => {
    const wordId = wordIds![row]![index]!
    if (wordId === null) return []
    const [start, end] = offsets![row]![index]!
    return [{ id, index, start, end, wordId, scores: softmax(logits.subarray(index * labels, (index + 1) * labels)) }]
  })
}
