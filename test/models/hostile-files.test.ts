import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.ts'
import { ArgumentError, FileError, HeedfulError, ShapeError } from '../../lib/errors.ts'
import { AutoModel } from '../../lib/models/auto.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import { heldBytes } from '../held-bytes.ts'
import { readdir } from 'node:fs/promises'
import { referenceFolder } from './reference-suite.ts'

let scratch: string
let count = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterAll(() => rm(scratch, { recursive: true }))

async function copied(model: string): Promise<string> {
  const folder = join(scratch, String(count++))
  await cp(referenceFolder(model), folder, { recursive: true })
  return folder
}

async function withConfig(model: string, change: object): Promise<string> {
  const folder = await copied(model)
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...change }))
  return folder
}

/** Milliseconds that a refusal may take on a busy machine; what grew with a size of 10⁹ would take far more. */
const patience = 3000
/** Bytes that the process may grow meanwhile. */
const allowance = 64e6

async function refusal(open: () => Promise<Disposable>): Promise<HeedfulError> {
  const before = { rss: process.memoryUsage.rss(), time: performance.now() }
  const error = await open().then(
    (model) => {
      model[Symbol.dispose]()
      return new Error('it was opened')
    },
    (cause: unknown) => cause as Error,
  )
  expect(error.message).not.toBe('it was opened')
  expect(error, error.message).toBeInstanceOf(HeedfulError)
  expect(performance.now() - before.time).toBeLessThan(patience)
  expect(process.memoryUsage.rss() - before.rss).toBeLessThan(allowance)
  return error as HeedfulError
}

describe('a config.json of absurd sizes', () => {
  const keys = {
    'llama-gqa': [
      'hidden_size',
      'num_hidden_layers',
      'vocab_size',
      'num_attention_heads',
      'num_key_value_heads',
      'intermediate_size',
      'head_dim',
    ],
    gpt2: ['n_embd', 'n_layer', 'n_positions', 'n_head', 'n_inner', 'vocab_size'],
    'bert-cls': ['hidden_size', 'num_hidden_layers', 'vocab_size', 'type_vocab_size', 'max_position_embeddings'],
  }
  const cases = Object.entries(keys).flatMap(([model, names]) => names.map((name): [string, string] => [model, name]))
  it.each(cases)('%s: %s', async (model, key) => {
    const before = await heldBytes()
    for (const size of [1e9, 1e15, 2 ** 53, 1e30, -1, 0.5, 'many'])
      for (const dtype of ['f32', 'int8'] as const) {
        const folder = await withConfig(model, { [key]: size })
        const open = model.startsWith('bert') ? AutoModel.fromPretrained : loadDecoder
        const error = await refusal(() => open(folder, { dtype }))
        expect(error instanceof FileError || error instanceof ShapeError, error.message).toBe(true)
      }
    expect(await heldBytes()).toBeLessThanOrEqual(before)
  })

  it('a context of any size takes nothing before it is used', async () => {
    const before = await heldBytes()
    using model = await loadDecoder(await withConfig('llama-gqa', { max_position_embeddings: 1e15 }))
    expect(model.config.context).toBe(1e15)
    expect((await heldBytes()) - before).toBeLessThan(1e6)
  })
})

describe('a folder that is no model', () => {
  it('with weights of PyTorch only', async () => {
    const folder = await copied('gpt2')
    await rm(join(folder, 'model.safetensors'))
    await writeFile(join(folder, 'pytorch_model.bin'), 'PK')
    expect((await refusal(() => loadDecoder(folder))).message).toMatch(
      /pytorch_model\.bin is pickled by PyTorch, .*could run any code; convert it with .*safe_serialization=True/,
    )
  })

  it('that lacks a part', async () => {
    const folder = await copied('gpt2')
    const { tensors } = await readSafetensors(join(folder, 'model.safetensors'))
    await rm(join(folder, 'model.safetensors'))
    await writeCheckpoint(folder, tensors, {}, { maxShardSize: 40_000 })
    for (const tensor of tensors.values()) tensor.dispose()
    const part = (await readdir(folder)).find((name) => /-00002-of/.test(name))!
    await rm(join(folder, part))
    const { message } = await refusal(() => loadDecoder(folder))
    expect(message).toContain(part)
    expect(message).toMatch(/no such file/)
  })

  it('where a file should be', async () => {
    const folder = await copied('gpt2')
    await rm(join(folder, 'model.safetensors'))
    await mkdir(join(folder, 'model.safetensors'))
    expect((await refusal(() => loadDecoder(folder))).message).toMatch(
      /model\.safetensors: is a folder, expected a file/,
    )
    await mkdir(join(folder, 'x.gguf'))
    expect((await refusal(() => loadDecoder(join(folder, 'x.gguf')))).message).toMatch(/in this folder, found neither/)
    const other = await copied('gpt2')
    await rm(join(other, 'config.json'))
    await mkdir(join(other, 'config.json'))
    expect((await refusal(() => loadDecoder(other))).message).toMatch(/config\.json: is a folder/)
  })
})

describe('a tokenizer.json', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, c: 2, ab: 3 }, merges: ['a b'] }
  async function folderWith(json: string): Promise<string> {
    const folder = join(scratch, String(count++))
    await mkdir(folder)
    await writeFile(join(folder, 'tokenizer.json'), json)
    return folder
  }
  const refused = async (json: string): Promise<HeedfulError> => {
    const folder = await folderWith(json)
    return refusal(() => loadTokenizer(folder).then(() => ({ [Symbol.dispose]: () => {} })))
  }

  it.each(['normalizer', 'pre_tokenizer', 'decoder', 'post_processor'])('with a %s that holds itself', async (part) => {
    const lists = { normalizer: 'normalizers', pre_tokenizer: 'pretokenizers', decoder: 'decoders' }
    const list = lists[part as 'normalizer'] ?? 'processors'
    for (const depth of [3_000, 100_000]) {
      const nested = `${`{"type":"Sequence","${list}":[`.repeat(depth)}${']}'.repeat(depth)}`
      expect(await refused(`{"model":${JSON.stringify(model)},"added_tokens":[],"${part}":${nested}}`)).toBeInstanceOf(
        FileError,
      )
    }
  })

  it.each<[string, object]>([
    ['ids without end', { ...model, vocab: { a: 0, b: 2 ** 32 - 1 }, merges: [] }],
    ['merges of nothing', { ...model, vocab: { a: 0, '': 1 }, merges: [['', '']] }],
    ['merges that lead nowhere', { ...model, merges: ['a c'] }],
  ])('with %s', async (_, changed) => {
    expect(await refused(JSON.stringify({ added_tokens: [], model: changed }))).toBeInstanceOf(FileError)
  })

  it('whose normalizers double a text without end', async () => {
    const double = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' }
    const normalizer = { type: 'Sequence', normalizers: Array.from({ length: 60 }, () => double) }
    const tokenizer = await loadTokenizer(await folderWith(JSON.stringify({ added_tokens: [], model, normalizer })))
    expect(() => tokenizer.encode('a')).toThrow(
      new ArgumentError(
        'encode: the normalizer makes more than 1048608 UTF-16 units of the text; this tokenizer.json is damaged or malicious',
      ),
    )
  })
})
