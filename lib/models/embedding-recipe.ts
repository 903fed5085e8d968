import { join } from 'node:path'
import { ArgumentError, checkInteger, describe, FileError } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { exists, isObject, parseJsonObject, readJson, readText } from '../files/read-file.ts'
import type { Pooling } from './pooling.ts'

type Json = Readonly<Record<string, unknown>>

/** How a model's hidden states become one vector of a text, as sentence-transformers keeps it beside the model. */
export interface EmbeddingRecipe {
  readonly pooling: Pooling
  /** Vectors have length 1. */
  readonly normalize: boolean
  /** Most tokens of a text: longer ones are cut there. */
  readonly maxLength?: number
  /** Texts are lower-cased, whatever the tokenizer does. */
  readonly lowerCase: boolean
  /** What stands before texts, by name. */
  readonly prompts: Readonly<Record<string, string>>
  /** The prompt of texts for which none is chosen. */
  readonly defaultPrompt?: string
}

const poolings: Readonly<Record<string, Pooling>> = { mean: 'mean', cls: 'first', lasttoken: 'last' }
/** The switches of older files. */
const modeOfKey: Readonly<Record<string, string>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
}

/**
 * Reads modules.json of a folder, and what it names; undefined where there is none. Throws ArgumentError, which names the
 * module or the key, for what is not supported; FileError for files that make no sense.
 */
export async function readEmbeddingRecipe(folder: string): Promise<EmbeddingRecipe | undefined> {
  const operation = 'readEmbeddingRecipe'
  const path = join(checkPath(operation, folder), 'modules.json')
  if (!(await exists(path))) return undefined
  const modules = await readModules(path, operation)
  const kinds = modules.map(({ type }) => type.split('.').at(-1)!)
  const [first, second, ...rest] = kinds
  if (first !== 'Transformer' || second !== 'Pooling' || rest.some((kind) => kind !== 'Normalize'))
    throw new ArgumentError(
      `${operation}: ${path}: modules ${kinds.join(', ')} are not supported; supported: Transformer, Pooling and perhaps Normalize`,
    )
  const [transformer, pooling] = modules as [Module, Module]
  if (transformer.path !== '')
    throw new ArgumentError(
      `${operation}: ${path}: a Transformer in a folder of its own (${transformer.path}) is not supported; supported: beside modules.json`,
    )
  const settings = await optional(join(folder, 'sentence_bert_config.json'), operation)
  const { prompts, default_prompt_name: promptName } = await optional(
    join(folder, 'config_sentence_transformers.json'),
    operation,
  )
  const maxLength = settings['max_seq_length'] ?? undefined
  const texts = Object.entries(isObject(prompts) ? prompts : {})
  return {
    pooling: await readPooling(join(folder, pooling.path, 'config.json'), operation),
    normalize: rest.length > 0,
    ...(maxLength !== undefined && {
      maxLength: checkInteger(`${operation}: sentence_bert_config.json`, 'max_seq_length', maxLength, 1),
    }),
    lowerCase: settings['do_lower_case'] === true,
    prompts: Object.fromEntries(texts.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    ...(typeof promptName === 'string' && { defaultPrompt: promptName }),
  }
}

/** What becomes of the score that a cross-encoder gives to a pair of texts, as sentence-transformers has it. */
export type RankingFunction = 'sigmoid' | 'identity'

/** Reads config.json of a folder: the sigmoid unless it says otherwise. Throws ArgumentError for any other function. */
export async function readRankingFunction(folder: string): Promise<RankingFunction> {
  const operation = 'readRankingFunction'
  const path = join(checkPath(operation, folder), 'config.json')
  const json = await optional(path, operation)
  const settings = json['sentence_transformers']
  const told =
    (isObject(settings) ? settings['activation_fn'] : undefined) ?? json['sbert_ce_default_activation_function']
  if (told === undefined || told === null) return 'sigmoid'
  const name = String(told).split('.').at(-1)!.toLowerCase()
  if (name !== 'sigmoid' && name !== 'identity')
    throw new ArgumentError(
      `${operation}: ${path}: activation_fn ${describe(told)} is not supported; supported: Sigmoid, Identity`,
    )
  return name
}

async function readPooling(path: string, operation: string): Promise<Pooling> {
  const json = await readJson(path, operation)
  const modes =
    json['pooling_mode'] === undefined
      ? Object.keys(modeOfKey).flatMap((key) => (json[key] === true ? [modeOfKey[key]!] : []))
      : [json['pooling_mode']].flat()
  const [mode] = modes
  if (modes.length !== 1 || typeof mode !== 'string' || !Object.hasOwn(poolings, mode))
    throw new ArgumentError(
      `${operation}: ${path}: pooling ${modes.map((one) => describe(one)).join(' and ') || 'by none'} is not supported; supported: ${Object.keys(poolings).join(', ')}`,
    )
  if (json['include_prompt'] === false)
    throw new ArgumentError(`${operation}: ${path}: include_prompt false is not supported; supported: true`)
  return poolings[mode]!
}

interface Module {
  readonly type: string
  readonly path: string
}

async function readModules(path: string, operation: string): Promise<readonly Module[]> {
  const where = `${operation}: ${path}`
  const { modules } = parseJsonObject(`{"modules":${await readText(path, operation)}}`, where)
  const isModule = (value: unknown): value is Module =>
    isObject(value) && typeof value['type'] === 'string' && typeof value['path'] === 'string'
  if (!Array.isArray(modules) || !modules.every(isModule))
    throw new FileError(`${where}: expected a list of modules, each with type and path`)
  return modules
}

/** {} where there is no such file. */
const optional = async (path: string, operation: string): Promise<Json> =>
  (await exists(path)) ? readJson(path, operation) : {}
