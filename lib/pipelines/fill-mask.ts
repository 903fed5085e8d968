import { ArgumentError, checkInteger } from '../errors.ts'
import { AutoModelForMaskedLM } from '../models/auto.ts'
import type { EncoderForTask } from '../models/encoder-for-task.ts'
import { encodeRows, mapRows, rowOf, type TruncationOptions } from './rows.ts'
import { largest, softmax } from './scores.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

export interface MaskFilling {
  score: number
  /** The id of the token. */
  token: number
  tokenStr: string
  /** The text with the token in its place; other masks stay. */
  sequence: string
}

export interface FillMaskOptions extends CallOptions, TruncationOptions {
  /** How many tokens to give; 5 unless given. */
  topK?: number
}

/** For each text: the likeliest tokens of its mask; of several masks, those of each. */
export interface FillMask {
  (text: string, options?: FillMaskOptions): Promise<MaskFilling[] | MaskFilling[][]>
  (texts: readonly string[], options?: FillMaskOptions): Promise<(MaskFilling[] | MaskFilling[][])[]>
}

const task = 'fill-mask'
const defaults = { topK: 'any', truncation: 'boolean' } as const
const known = { ...defaults, signal: 'signal' } as const

/** What stands where a text says `[MASK]` (or `<mask>`, whatever the tokenizer has). */
export const fillMask: Task<EncoderForTask, FillMask> = {
  open: (model, options) => AutoModelForMaskedLM.fromPretrained(model, options),
  defaults,
  make: ({ model, tokenizer }, given) => {
    const settings = (options: FillMaskOptions | undefined) => {
      const { topK = 5, truncation = false, signal } = mergeOptions(task, given, options, known)
      return { topK: checkInteger(task, 'topK', topK, 1), truncation, signal }
    }
    settings({})
    return (async (input: unknown, options?: FillMaskOptions) => {
      const { topK, truncation, signal } = settings(options)
      const { maskTokenId } = tokenizer
      if (maskTokenId === undefined) throw new ArgumentError(`${task}: the tokenizer of this model has no mask token`)
      const { inputs, isSingle } = inputsOf(task, 'a text', isText, input)
      const rows = await encodeRows({ model, tokenizer }, inputs, { truncation, signal })
      const without = rows.inputIds.findIndex((ids) => !ids.includes(maskTokenId))
      if (without >= 0)
        throw new ArgumentError(
          `${task}: text ${without} has no ${tokenizer.idToToken(maskTokenId)}; write it where a word is to be found`,
        )
      // Every token has scores of the whole vocabulary.
      const answers = await mapRows(
        (given, running) => model.logits(given, running),
        rows,
        { signal, tokensOfRun: 256 },
        (logits, place, row) => {
          const ids = rows.inputIds[row]!
          const width = logits.shape.at(-1)!
          const numbers = rowOf(logits, place)
          const fillings = [...ids.keys()]
            .filter((at) => ids[at] === maskTokenId)
            .map((at) => {
              const scores = softmax(numbers.subarray(at * width, (at + 1) * width))
              return largest(scores, topK).map((token) => filling(ids, at, token, scores[token]!))
            })
          return fillings.length === 1 ? fillings[0]! : fillings
        },
      )
      return isSingle ? answers[0] : answers

      function filling(ids: readonly number[], at: number, token: number, score: number): MaskFilling {
        const special = tokenizer.specialTokenIds.filter((id) => id !== maskTokenId)
        const filled = ids.map((id, i) => (i === at ? token : id)).filter((id) => !special.includes(id))
        return { score, token, tokenStr: tokenizer.decode([token]), sequence: tokenizer.decode(filled) }
      }
    }) as FillMask
  },
}
