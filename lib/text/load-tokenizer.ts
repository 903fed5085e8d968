import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { decodeUtf8, exists, isObject, parseJsonObject, readJson, readText, withFile } from '../files/read-file.ts'
import { CharTokenizer } from './char-tokenizer.ts'
import { marianFiles, marianTokenizer } from './marian-tokenizer.ts'
import { configFile, PretrainedTokenizer } from './pretrained-tokenizer.ts'
import { tokenizerFromSentencePiece } from './sentencepiece.ts'
import { tokenizerFile, type Tokenizer } from './tokenizer.ts'
import { filesOfXlmRoberta, xlmRobertaFile } from './xlm-roberta-tokenizer.ts'
import { filesOfBytePairs, filesOfWordPiece } from './vocabulary-files.ts'

/**
 * The tokenizer of a model folder, whatever its kind: `tokenizer.json`, or else SentencePiece's `tokenizer.model` or
 * `spiece.model`, XLM-R's `sentencepiece.bpe.model`, Marian's `source.spm` with `vocab.json`, `vocab.json` with `merges.txt`, or `vocab.txt`; and beside it
 * `tokenizer_config.json`, `special_tokens_map.json` and `chat_template.jinja` where they are. Throws FileError, which says what is damaged or not supported.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  checkPath(operation, folder)
  const isThere = (name: string): Promise<boolean> => exists(join(folder, name))
  if (!(await isThere(tokenizerFile)))
    for (const { files, open } of olderKinds)
      if ((await Promise.all(files.map(isThere))).every(Boolean)) {
        const contents = await Promise.all(files.map((name) => readSmall(join(folder, name))))
        return open(contents, await readConfig(folder), `${operation}: ${join(folder, files[0]!)}`)
      }
  const path = join(folder, tokenizerFile)
  if (!(await exists(path))) throw await noTokenizer(folder)
  const where = `${operation}: ${path}`
  const tokenizer = await readJson(path, operation)
  const type = isObject(tokenizer['model']) ? tokenizer['model']['type'] : undefined
  if (type === 'WordLevel' && CharTokenizer.describes(tokenizer)) return CharTokenizer.fromJson(tokenizer, where)
  return new PretrainedTokenizer({ tokenizer, config: await readConfig(folder) }, where)
}

const operation = 'loadTokenizer'

/** What to say of a folder without any. */
async function noTokenizer(folder: string): Promise<FileError> {
  const kinds = [tokenizerFile, ...olderKinds.map(({ files }) => files.join(' with '))]
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(operation, folder, cause)
  })
  const seen = names.length ? names.sort().slice(0, 8).join(', ') + (names.length > 8 ? ', …' : '') : 'nothing'
  return new FileError(
    `${operation}: ${folder}: has no tokenizer; expected ${kinds.join(', or ')}, found ${seen}; AutoModel… opens a model without one`,
  )
}

/** What tokenizers were kept in before there was tokenizer.json, the kinds with more files first. */
const olderKinds: readonly {
  readonly files: readonly string[]
  readonly open: (contents: readonly Buffer[], config: Record<string, unknown>, where: string) => Tokenizer
}[] = [
  {
    files: marianFiles,
    open: ([source, target, ids], config, where) =>
      marianTokenizer({ 'source.spm': source!, 'target.spm': target!, 'vocab.json': ids! }, config, where),
  },
  {
    files: [xlmRobertaFile],
    open: ([bytes], config, where) => new PretrainedTokenizer(filesOfXlmRoberta(bytes!, config, where), where),
  },
  ...['tokenizer.model', 'spiece.model'].map((name) => ({
    files: [name],
    open: ([bytes]: readonly Buffer[], config: Record<string, unknown>, where: string) =>
      tokenizerFromSentencePiece(bytes!, config, where),
  })),
  {
    files: ['vocab.json', 'merges.txt'],
    open: ([ids, merges], config, where) => {
      const vocab = parseJsonObject(decodeUtf8(ids!, where), where)
      return new PretrainedTokenizer(filesOfBytePairs(vocab, decodeUtf8(merges!, where), config, where), where)
    },
  },
  {
    files: ['vocab.txt'],
    open: ([text], config, where) =>
      new PretrainedTokenizer(filesOfWordPiece(decodeUtf8(text!, where), config, where), where),
  },
]

/** The largest published is 5 MB. */
const largestFile = 2 ** 26

function readSmall(path: string): Promise<Buffer> {
  return withFile(operation, path, ({ handle, size }) => {
    if (size > largestFile)
      throw new FileError(`${operation}: ${path}: expected at most ${largestFile} bytes, got ${size}`)
    return handle.readFile()
  })
}

/** What the files beside the tokenizer say. */
async function readConfig(folder: string): Promise<Record<string, unknown>> {
  const [special, config, template] = await Promise.all([
    readIfThere(join(folder, 'special_tokens_map.json')),
    readIfThere(join(folder, configFile)),
    exists(join(folder, templateFile)).then((isThere) =>
      isThere ? readText(join(folder, templateFile), operation) : undefined,
    ),
  ])
  return { ...special, ...config, ...(template !== undefined && { chat_template: template }) }
}

const templateFile = 'chat_template.jinja'

async function readIfThere(path: string): Promise<Record<string, unknown>> {
  return (await exists(path)) ? readJson(path, operation) : {}
}
