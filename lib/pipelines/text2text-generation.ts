import { join } from 'node:path'
import { ArgumentError, describe, nearest } from '../errors.ts'
import { AutoModelForSeq2SeqLM, type Seq2SeqLM } from '../generate/seq2seq-lm.ts'
import { checkGenerationOptions, type Seq2SeqGenerateOptions } from '../generate/generation-options.ts'
import { isObject, readJson } from '../files/read-file.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { encodeRows, type TruncationOptions } from './rows.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

type GenerateOptions = Pick<
  Seq2SeqGenerateOptions,
  | 'maxNewTokens'
  | 'minNewTokens'
  | 'numBeams'
  | 'lengthPenalty'
  | 'earlyStopping'
  | 'repetitionPenalty'
  | 'noRepeatNgramSize'
  | 'forcedBosTokenId'
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'seed'
>

/** Where nothing is said about generation, what the model's generation_config.json advises holds. */
export interface Text2TextOptions extends CallOptions, TruncationOptions, GenerateOptions {
  /**
   * What is put before each text, such as 'translate English to German: ' for T5; as the model's config.json says for
   * summarization unless given, else nothing.
   */
  prefix?: string
  /** The language of the texts and that of the answers, as the tokenizer of the model calls them: 'de_DE', 'en_XX' (mBART). */
  srcLang?: string
  tgtLang?: string
}

export interface Text2TextAnswer {
  generatedText: string
}

export interface GenerateText2Text {
  (text: string, options?: Text2TextOptions): Promise<Text2TextAnswer>
  (texts: readonly string[], options?: Text2TextOptions): Promise<Text2TextAnswer[]>
}

const generating = {
  maxNewTokens: 'any',
  minNewTokens: 'any',
  numBeams: 'any',
  lengthPenalty: 'any',
  earlyStopping: 'any',
  repetitionPenalty: 'any',
  noRepeatNgramSize: 'any',
  forcedBosTokenId: 'any',
  temperature: 'any',
  topK: 'any',
  topP: 'any',
  minP: 'any',
  seed: 'any',
} as const satisfies Record<keyof GenerateOptions, unknown>
const defaults = { ...generating, prefix: 'any', srcLang: 'any', tgtLang: 'any', truncation: 'boolean' } as const
const known = { ...defaults, signal: 'signal' } as const

/** How many texts are written at once. */
const textsOfRun = 16

/** A text in, another one out: the full Transformer (Vaswani et al. 2017). The tasks differ in what they put before texts. */
const writing = (task: string): Task<Seq2SeqLM, GenerateText2Text> => ({
  open: (model, options) => AutoModelForSeq2SeqLM.fromPretrained(model, options),
  defaults,
  make: async ({ model, tokenizer, path }, given) => {
    const advised = task === 'summarization' ? await prefixOf(task, path) : ''
    const codes = languageCodes(tokenizer)
    const settings = (options: Text2TextOptions | undefined) => {
      const merged = mergeOptions(task, given, options, known)
      const { prefix = advised, truncation = false, signal, srcLang, tgtLang, ...rest } = merged
      if (!isText(prefix)) throw new ArgumentError(`${task}: prefix should be a string, got ${describe(prefix)}`)
      checkGenerationOptions(rest, 'seq2seq')
      const [source, target] = [codeOf(task, codes, 'srcLang', srcLang), codeOf(task, codes, 'tgtLang', tgtLang)]
      const first = target === undefined ? {} : { forcedBosTokenId: target }
      return { prefix, truncation, signal, source, generate: { ...first, ...rest, ...(signal && { signal }) } }
    }
    settings({})
    return (async (input: unknown, options?: Text2TextOptions) => {
      const { prefix, truncation, signal, source, generate } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a text', isText, input)
      const texts = inputs.map((text) => prefix + text)
      const { inputIds } = await encodeRows({ model, tokenizer }, texts, { truncation, signal })
      // Tokenizers of many languages put the code of one into each row: that of the last language they were saved with.
      if (source !== undefined)
        for (const row of inputIds) row.forEach((id, at) => codes.ids.has(id) && (row[at] = source))
      const order = inputIds.map((_, row) => row).sort((a, b) => inputIds[a]!.length - inputIds[b]!.length)
      const answers = new Array<Text2TextAnswer>(order.length)
      for (let from = 0; from < order.length; from += textsOfRun) {
        const rows = order.slice(from, from + textsOfRun)
        const made = await model.generate({ inputIds: rows.map((row) => inputIds[row]!) }, generate)
        for (const [i, row] of rows.entries())
          answers[row] = { generatedText: tokenizer.decode(made[i]!, { skipSpecialTokens: true }).trim() }
      }
      return isSingle ? answers[0] : answers
    }) as GenerateText2Text
  },
})

interface LanguageCodes {
  readonly byName: ReadonlyMap<string, number>
  readonly ids: ReadonlySet<number>
}

/** Special tokens that are codes of languages, such as 'de_DE'. */
function languageCodes(tokenizer: Tokenizer): LanguageCodes {
  const codes = tokenizer.specialTokenIds.flatMap((id): [string, number][] => {
    const token = tokenizer.idToToken(id)!
    return /^[a-z]{2,3}_[A-Z][A-Za-z]{1,3}$/.test(token) ? [[token, id]] : []
  })
  return { byName: new Map(codes), ids: new Set(codes.map(([, id]) => id)) }
}

function codeOf(task: string, { byName }: LanguageCodes, name: string, language: unknown): number | undefined {
  if (language === undefined) return undefined
  const id = byName.get(language as string)
  if (id !== undefined) return id
  const near = typeof language === 'string' ? nearest(language, [...byName.keys()]) : undefined
  throw new ArgumentError(
    byName.size
      ? `${task}: ${name} ${describe(language)} is no language of this model; ${near ? `did you mean ${near}? ` : ''}languages: ${[...byName.keys()].join(', ')}`
      : `${task}: ${name} is for models of many languages (mBART), whose tokenizers have a token for each; leave it out`,
  )
}

/** What config.json says of the task. */
async function prefixOf(task: string, folder: string): Promise<string> {
  const { task_specific_params: tasks } = await readJson(join(folder, 'config.json'), task)
  const settings = isObject(tasks) ? tasks[task] : undefined
  return isObject(settings) && isText(settings['prefix']) ? settings['prefix'] : ''
}

export const text2textGeneration = writing('text2text-generation')
export const translation = writing('translation')
export const summarization = writing('summarization')
