import { join } from 'node:path'
import { describe, FileError } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { isObject, readJson } from '../files/read-file.ts'
import { CharTokenizer } from './char-tokenizer.ts'
import { tokenizerFile, type Tokenizer } from './tokenizer.ts'

/** What opens a tokenizer.json, by the type of its model. */
const kinds: Readonly<Record<string, (json: Record<string, unknown>, where: string) => Tokenizer>> = {
  WordLevel: CharTokenizer.fromJson,
}

/** The tokenizer of a model folder, whatever its kind. Throws FileError, which says what is supported. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(checkPath('loadTokenizer', folder), tokenizerFile)
  const where = `loadTokenizer: ${path}`
  const json = await readJson(path, 'loadTokenizer')
  const type = isObject(json['model']) ? json['model']['type'] : undefined
  if (typeof type !== 'string' || !Object.hasOwn(kinds, type))
    throw new FileError(
      `${where}: a model of type ${describe(type)} is not supported; supported: WordLevel of single characters`,
    )
  return kinds[type]!(json, where)
}
