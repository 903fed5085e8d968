import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { checkPath } from '../files/file-error.ts'
import { isObject, readJson } from '../files/read-file.ts'
import { CharTokenizer } from './char-tokenizer.ts'
import { configFile, PretrainedTokenizer } from './pretrained-tokenizer.ts'
import { tokenizerFile, type Tokenizer } from './tokenizer.ts'

/**
 * The tokenizer of a model folder, whatever its kind: `tokenizer.json`, and beside it `tokenizer_config.json` and
 * `special_tokens_map.json` where they are. Throws FileError, which says what is damaged or not supported.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return load('loadTokenizer', folder)
}

/** The names that users of `transformers` know. */
export const AutoTokenizer = {
  /** See `loadTokenizer`. */
  async fromPretrained(folder: string): Promise<Tokenizer> {
    return load('AutoTokenizer.fromPretrained', folder)
  },
}

async function load(operation: string, folder: string): Promise<Tokenizer> {
  const path = join(checkPath(operation, folder), tokenizerFile)
  const where = `${operation}: ${path}`
  const tokenizer = await readJson(path, operation)
  const type = isObject(tokenizer['model']) ? tokenizer['model']['type'] : undefined
  if (type === 'WordLevel' && CharTokenizer.describes(tokenizer)) return CharTokenizer.fromJson(tokenizer, where)
  const [special, config] = await Promise.all([
    readIfThere(join(folder, 'special_tokens_map.json'), operation),
    readIfThere(join(folder, configFile), operation),
  ])
  return new PretrainedTokenizer({ tokenizer, config: { ...special, ...config } }, where)
}

async function readIfThere(path: string, operation: string): Promise<Record<string, unknown>> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  return isThere ? readJson(path, operation) : {}
}
