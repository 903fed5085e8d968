import { ArgumentError, checkInteger, checkOptions } from '../errors.ts'
import { AutoModelForQuestionAnswering, type TextModel } from '../models/auto.ts'
import type { Encoding } from '../text/encoding.ts'
import { encodeRows, mapRows, rowOf } from './rows.ts'
import { softmax } from './scores.ts'
import { inputsOf, mergeOptions, type CallOptions, type Task } from './task.ts'

export interface Question {
  question: string
  /** The text that holds the answer, of any length: it is read in windows. */
  context: string
}

export interface Answer {
  answer: string
  score: number
  /** [start, end) of the context in UTF-16 units. */
  start: number
  end: number
}

export interface QuestionAnsweringOptions extends CallOptions {
  /** The k likeliest answers of each question as an array; the likeliest alone unless given. */
  topK?: number
  /** The most tokens of an answer; 15 unless given. */
  maxAnswerLength?: number
  /** The most tokens of a window, question included; 384, or what the model takes, unless given. */
  maxLength?: number
  /** How many tokens windows share; 128, or half of a window, unless given. */
  stride?: number
  /** No answer is an answer too: '' if the model was trained to say so. false unless given. */
  handleImpossibleAnswer?: boolean
}

type One = Omit<QuestionAnsweringOptions, 'topK'>

export interface AnswerQuestion {
  (question: Question, options?: One): Promise<Answer>
  (questions: readonly Question[], options?: One): Promise<Answer[]>
  (question: Question, options: QuestionAnsweringOptions): Promise<Answer[]>
  (questions: readonly Question[], options: QuestionAnsweringOptions): Promise<Answer[][]>
}

const task = 'question-answering'
const defaults = {
  maxAnswerLength: 'any',
  maxLength: 'any',
  stride: 'any',
  handleImpossibleAnswer: 'boolean',
} as const
const known = { ...defaults, topK: 'any', signal: 'signal' } as const

/** The passage of a text that answers a question about it (Rajpurkar et al. 2016; Devlin et al. 2019, §4.2). */
export const questionAnswering: Task<TextModel, AnswerQuestion> = {
  open: (model, options) => AutoModelForQuestionAnswering.fromPretrained(model, options),
  defaults,
  make: ({ model, tokenizer }, given) => {
    const { context } = model.body.config
    const settings = (options: QuestionAnsweringOptions | undefined) => {
      const merged = mergeOptions(task, given, options, known)
      const { handleImpossibleAnswer = false, signal } = merged
      const maxLength = checkInteger(task, 'maxLength', merged.maxLength ?? Math.min(384, context), 1, context)
      return {
        topK: checkInteger(task, 'topK', merged.topK ?? 1, 1),
        maxTokens: checkInteger(task, 'maxAnswerLength', merged.maxAnswerLength ?? 15, 1),
        maxLength,
        stride: checkInteger(task, 'stride', merged.stride ?? Math.min(128, maxLength >> 1), 0, maxLength),
        handleImpossibleAnswer,
        signal,
      }
    }
    settings({})
    return (async (input: unknown, options?: QuestionAnsweringOptions) => {
      const { topK, maxTokens, maxLength, stride, handleImpossibleAnswer, signal } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a { question, context }', isQuestion, input)
      inputs.forEach(({ question, context }, i) => {
        if (question.trim() === '' || context.trim() === '')
          throw new ArgumentError(
            `${task}: ${question.trim() === '' ? 'question' : 'context'} ${i} is empty; there is nothing to ${question.trim() === '' ? 'answer' : 'read'}`,
          )
      })
      const rows = await encodeRows(
        { model, tokenizer },
        inputs.map(({ question }) => question),
        {
          pairs: inputs.map(({ context }) => context),
          maxLength,
          stride,
          truncation: 'onlySecond',
          returnOverflow: true,
          returnOffsets: true,
          signal,
        },
      )
      const windows = await mapRows(
        (given, running) => model.logits(given, running),
        rows,
        { signal },
        (logits, place, row) => spans(rows, row, rowOf(logits, place), { topK, maxTokens }),
      )
      const answers = inputs.map(({ context }, i) => {
        const mine = windows.filter((_, row) => rows.textOfRow![row] === i)
        const found = mine.flatMap(({ candidates }) => candidates)
        if (handleImpossibleAnswer)
          found.push({ score: Math.min(...mine.map(({ impossible }) => impossible)), start: 0, end: 0 })
        return distinct(found)
          .slice(0, topK)
          .map(({ score, start, end }): Answer => ({ answer: context.slice(start, end), score, start, end }))
      })
      const results = options?.topK === undefined ? answers.map(([best]) => best) : answers
      return isSingle ? results[0] : results
    }) as AnswerQuestion
  },
}

function isQuestion(input: unknown): input is Question {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return false
  const { question, context } = input as Question
  checkOptions(task, input, ['question', 'context'])
  return typeof question === 'string' && typeof context === 'string'
}

interface Span {
  readonly score: number
  readonly start: number
  readonly end: number
}

/**
 * The likeliest spans of a window: p(i, j) = softmax(start)_i · softmax(end)_j for i ≤ j < i + maxTokens, both tokens of the
 * context. The probabilities are those among the context's tokens and the first of the row, which stands for no answer. An answer is of whole words.
 */
function spans(
  { offsets, sequenceIds, wordIds }: Encoding,
  row: number,
  logits: Float32Array,
  { topK, maxTokens }: { topK: number; maxTokens: number },
): { candidates: Span[]; impossible: number } {
  const places = [...sequenceIds![row]!.keys()].filter((at) => sequenceIds![row]![at] === 1)
  const readable = [0, ...places]
  const [starts, ends] = [0, 1].map((side) => softmax(readable.map((at) => logits[2 * at + side]!))) as [
    Float64Array,
    Float64Array,
  ]
  const candidates: Span[] = []
  const words = readable.map((at) => wordIds![row]![at])
  for (let i = 1; i < readable.length; i++)
    for (let j = i; j < Math.min(readable.length, i + maxTokens); j++) {
      const [first, last] = [words.indexOf(words[i]!, 1), words.lastIndexOf(words[j]!)]
      const [start, end] = [offsets![row]![readable[first]!]![0], offsets![row]![readable[last]!]![1]]
      candidates.push({ score: starts[i]! * ends[j]!, start, end })
    }
  return { candidates: distinct(candidates).slice(0, topK), impossible: starts[0]! * ends[0]! }
}

/** The best first; of those at the same place, which windows share, the best alone. */
function distinct(spans: readonly Span[]): Span[] {
  const best = new Map<string, Span>()
  for (const span of [...spans].sort((a, b) => b.score - a.score || a.start - b.start || a.end - b.end)) {
    const place = `${span.start}:${span.end}`
    if (!best.has(place)) best.set(place, span)
  }
  return [...best.values()]
}
