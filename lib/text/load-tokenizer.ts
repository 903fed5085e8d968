import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { exists, isObject, readJson, readText, withFile } from '../files/read-file.ts'
import { CharTokenizer } from './char-tokenizer.ts'
import { configFile, PretrainedTokenizer } from './pretrained-tokenizer.ts'
import { tokenizerFromSentencePiece } from './sentencepiece.ts'
import { tokenizerFile, type Tokenizer } from './tokenizer.ts'

/**
 * The tokenizer of a model folder, whatever its kind: `tokenizer.json`, or else SentencePiece's `tokenizer.model` or
 * `spiece.model`, and beside it `tokenizer_config.json`,
 * `special_tokens_map.json` and `chat_template.jinja` where they are. Throws FileError, which says what is damaged or not supported.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const operation = 'loadTokenizer'
  const path = join(checkPath(operation, folder), tokenizerFile)
  for (const name of (await exists(path)) ? [] : sentencePieceFiles)
    if (await exists(join(folder, name))) return loadSentencePiece(operation, folder, join(folder, name))
  const where = `${operation}: ${path}`
  const tokenizer = await readJson(path, operation)
  const type = isObject(tokenizer['model']) ? tokenizer['model']['type'] : undefined
  if (type === 'WordLevel' && CharTokenizer.describes(tokenizer)) return CharTokenizer.fromJson(tokenizer, where)
  return new PretrainedTokenizer({ tokenizer, config: await readConfig(operation, folder) }, where)
}

/** What models call their SentencePiece file. (Not XLM-R's: its ids are others than those in the file.) */
const sentencePieceFiles = ['tokenizer.model', 'spiece.model']
/** The largest published is 4 MB. */
const largestModel = 2 ** 26

async function loadSentencePiece(operation: string, folder: string, path: string): Promise<Tokenizer> {
  const bytes = await withFile(operation, path, ({ handle, size }) => {
    if (size > largestModel)
      throw new FileError(`${operation}: ${path}: expected at most ${largestModel} bytes, got ${size}`)
    return handle.readFile()
  })
  return tokenizerFromSentencePiece(bytes, await readConfig(operation, folder), `${operation}: ${path}`)
}

/** What the files beside the tokenizer say. */
async function readConfig(operation: string, folder: string): Promise<Record<string, unknown>> {
  const [special, config, template] = await Promise.all([
    readIfThere(join(folder, 'special_tokens_map.json'), operation),
    readIfThere(join(folder, configFile), operation),
    exists(join(folder, templateFile)).then((isThere) =>
      isThere ? readText(join(folder, templateFile), operation) : undefined,
    ),
  ])
  return { ...special, ...config, ...(template !== undefined && { chat_template: template }) }
}

const templateFile = 'chat_template.jinja'

async function readIfThere(path: string, operation: string): Promise<Record<string, unknown>> {
  return (await exists(path)) ? readJson(path, operation) : {}
}
