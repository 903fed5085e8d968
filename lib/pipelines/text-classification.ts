import { ArgumentError, checkInteger, describe } from '../errors.ts'
import { AutoModelForSequenceClassification, type TextModel } from '../models/auto.ts'
import { encodeRows, mapRows, rowOf, type TruncationOptions } from './rows.ts'
import { largest, sigmoid, softmax } from './scores.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

export interface Classification {
  label: string
  score: number
}

/** What makes scores of a model's logits. */
export type ScoreFunction = 'softmax' | 'sigmoid' | 'none'

export interface TextClassificationOptions extends CallOptions, TruncationOptions {
  /**
   * As config.json's problem_type says unless given: sigmoid of labels that go together, none of a number; else softmax over
   * several labels, sigmoid of one.
   */
  functionToApply?: ScoreFunction
  /** The k likeliest labels of each text as an array, or all of them. The likeliest alone unless given. */
  topK?: number | 'all'
}

type One = Omit<TextClassificationOptions, 'topK'>

export interface ClassifyText {
  (text: string, options?: One): Promise<Classification>
  (texts: readonly string[], options?: One): Promise<Classification[]>
  (text: string, options: TextClassificationOptions): Promise<Classification[]>
  (texts: readonly string[], options: TextClassificationOptions): Promise<Classification[][]>
}

const task = 'text-classification'
const defaults = { functionToApply: 'any', truncation: 'boolean' } as const
const known = { ...defaults, topK: 'any', signal: 'signal' } as const

/** Labels of whole texts: what a text is about, whether it is spam, how its writer feels. */
export const textClassification: Task<TextModel, ClassifyText> = {
  open: (model, options) => AutoModelForSequenceClassification.fromPretrained(model, options),
  defaults,
  make: ({ model, tokenizer }, given) => {
    const settings = (options: TextClassificationOptions | undefined) => {
      const { topK, functionToApply, truncation = false, signal } = mergeOptions(task, given, options, known)
      return {
        apply: scoring(functionToApply ?? functionFor(model)),
        topK: topK === undefined || topK === 'all' ? topK : checkInteger(task, 'topK', topK, 1),
        truncation,
        signal,
      }
    }
    settings({})
    return (async (input: unknown, options?: TextClassificationOptions) => {
      const { apply, topK, truncation, signal } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a text', isText, input)
      const rows = await encodeRows({ model, tokenizer }, inputs, { truncation, signal })
      const answers = await mapRows(
        (given, running) => model.logits(given, running),
        rows,
        { signal },
        (logits, place) => {
          const scores = apply(rowOf(logits, place))
          const best = largest(scores, topK === 'all' ? scores.length : (topK ?? 1))
          return best.map((id): Classification => ({ label: model.labels[id]!, score: scores[id]! }))
        },
      )
      const results = topK === undefined ? answers.map(([best]) => best!) : answers
      return isSingle ? results[0] : results
    }) as ClassifyText
  },
}

function functionFor({ problemType, labels }: TextModel): ScoreFunction {
  if (problemType === 'regression') return 'none'
  return problemType === 'multi_label_classification' || labels.length === 1 ? 'sigmoid' : 'softmax'
}

function scoring(name: unknown): (scores: Float32Array) => ArrayLike<number> {
  if (name === 'softmax') return softmax
  if (name === 'sigmoid') return (scores) => Float64Array.from(scores, sigmoid)
  if (name === 'none') return (scores) => scores
  throw new ArgumentError(`${task}: functionToApply should be 'softmax', 'sigmoid' or 'none', got ${describe(name)}`)
}
