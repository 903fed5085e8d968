import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile } from '../../lib/graph/compile.ts'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import { AutoModel, AutoModelForSequenceClassification } from '../../lib/models/auto.ts'
import { readEmbeddingRecipe, readRankingFunction } from '../../lib/models/embedding-recipe.ts'
import type { EncoderForTask } from '../../lib/models/encoder-for-task.ts'
import { pool, poolings, type Pooling } from '../../lib/models/pooling.ts'
import { packableWeights } from '../../lib/models/weight-formats.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { multiply, sum } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation, norm } from '../reference/deviation.ts'
import { referenceFolder } from './reference-suite.ts'

let folder: string
let model: EncoderForTask
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  model = (await AutoModel.fromPretrained(referenceFolder('bert-cls'))) as EncoderForTask
})
afterAll(async () => {
  model.dispose()
  await rm(folder, { recursive: true })
})

const rows = [[4, 8, 15], [16], [23, 42, 5, 6, 7, 9, 10]]
const byHand: Record<Pooling, (tokens: number[][]) => number[]> = {
  first: (tokens) => tokens[0]!,
  last: (tokens) => tokens.at(-1)!,
  mean: (tokens) => tokens[0]!.map((_, j) => tokens.reduce((total, token) => total + token[j]!, 0) / tokens.length),
}

describe.each(poolings)('pooling by %s', (pooling) => {
  it('gives one vector of each sequence', async () => {
    using outputs = await model.run({ inputIds: rows })
    const hidden = outputs.lastHiddenState.toArray() as number[][][]
    using embedded = await model.embed({ inputIds: rows }, { pooling })
    expect(embedded.shape).toEqual([3, 32])
    const expected = rows.map((row, i) => byHand[pooling](hidden[i]!.slice(0, row.length)))
    expect(deviation(embedded.data(), expected.flat())).toBeLessThan(1e-6)
    using unit = await model.embed({ inputIds: rows }, { pooling, normalize: true })
    const units = expected.map((vector) => vector.map((value) => value / norm(vector)))
    expect(deviation(unit.data(), units.flat())).toBeLessThan(1e-6)
  })

  it('does not look at neighbours', async () => {
    const vectors: number[][] = []
    for (const others of [[[90]], [[1, 2, 3, 4, 5], [6]]]) {
      using embedded = await model.embed({ inputIds: [rows[0]!, ...others] }, { pooling })
      vectors.push([...(embedded.data() as Float32Array).subarray(0, 32)])
    }
    expect(deviation(vectors[0]!, vectors[1]!)).toBeLessThan(1e-6)
  })

  it('has the gradient of its formula', () => {
    using x = tensor.randn([6, 5], { seed: 1 })
    using weights = tensor.randn([4, 5], { seed: 2 })
    using program = compile((sequences: { offsets: Tensor; results: Tensor }) =>
      valueAndGrad((given: typeof sequences) => sum(multiply(pool(x, pooling, given), weights)), x)(sequences),
    )
    const { value, grads } = program.runSync({
      offsets: Int32Array.of(0, 4, 5, 6, 6),
      results: Int32Array.of(0, 1, 2, 3, 4),
    })
    const w = weights.toArray() as number[][]
    const share: Record<Pooling, number[]> = {
      first: [1, 0, 0, 0, 1, 1],
      last: [0, 0, 0, 1, 1, 1],
      mean: [0.25, 0.25, 0.25, 0.25, 1, 1],
    }
    const expected = [0, 0, 0, 0, 1, 2].map((n, i) => w[n]!.map((value) => value * share[pooling][i]!))
    expect(deviation((grads as Tensor).data(), expected.flat())).toBeLessThan(1e-6)
    value.dispose()
    ;(grads as Tensor).dispose()
  })
})

it('an unknown pooling is refused', () =>
  expect(model.embed({ inputIds: rows }, { pooling: 'max' as never })).rejects.toThrow(
    'embed: pooling should be one of first, last, mean',
  ))

it('logits are those of run, without the rest', async () => {
  using classifier = await AutoModelForSequenceClassification.fromPretrained(referenceFolder('bert-cls'))
  using outputs = await classifier.run({ inputIds: rows })
  using logits = await classifier.logits({ inputIds: rows })
  expect(logits.toArray()).toEqual(outputs.logits!.toArray())
  await expect(model.logits({ inputIds: rows })).rejects.toThrow('a bare model has none')
})

describe('recipes of sentence-transformers', () => {
  const modules = (...types: string[]) =>
    types.map((type, idx) => ({
      idx,
      name: `${idx}`,
      path: idx ? `${idx}_${type}` : '',
      type: `sentence_transformers.models.${type}`,
    }))
  async function recipe(name: string, files: Record<string, unknown>): Promise<string> {
    const path = join(folder, name)
    await mkdir(join(path, '1_Pooling'), { recursive: true })
    for (const [file, json] of Object.entries(files)) await writeFile(join(path, file), JSON.stringify(json))
    return path
  }
  const read = async (name: string, files: Record<string, unknown>) => readEmbeddingRecipe(await recipe(name, files))

  it('are read', async () => {
    const path = await recipe('old', {
      'modules.json': modules('Transformer', 'Pooling', 'Normalize'),
      '1_Pooling/config.json': { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false },
      'sentence_bert_config.json': { max_seq_length: 256, do_lower_case: true },
      'config_sentence_transformers.json': { prompts: { query: 'query: ' }, default_prompt_name: 'query' },
    })
    expect(await readEmbeddingRecipe(path)).toEqual({
      pooling: 'first',
      normalize: true,
      maxLength: 256,
      lowerCase: true,
      prompts: { query: 'query: ' },
      defaultPrompt: 'query',
    })
  })
  it('of newer files too, and of few', async () =>
    expect(
      await read('new', {
        'modules.json': modules('Transformer', 'Pooling'),
        '1_Pooling/config.json': { embedding_dimension: 32, pooling_mode: 'lasttoken' },
      }),
    ).toEqual({ pooling: 'last', normalize: false, lowerCase: false, prompts: {} }))
  it('may be missing', async () => expect(await readEmbeddingRecipe(folder)).toBeUndefined())

  it.each([
    [
      'dense',
      { 'modules.json': modules('Transformer', 'Pooling', 'Dense') },
      ArgumentError,
      /modules Transformer, Pooling, Dense are not/,
    ],
    ['none', { 'modules.json': {} }, FileError, /expected a list of modules/],
    [
      'max',
      { 'modules.json': modules('Transformer', 'Pooling'), '1_Pooling/config.json': { pooling_mode_max_tokens: true } },
      ArgumentError,
      /pooling "max" is not supported; supported: mean, cls, lasttoken/,
    ],
    [
      'two',
      { 'modules.json': modules('Transformer', 'Pooling'), '1_Pooling/config.json': { pooling_mode: ['cls', 'mean'] } },
      ArgumentError,
      /pooling "cls" and "mean" is not supported/,
    ],
    [
      'prompt',
      {
        'modules.json': modules('Transformer', 'Pooling'),
        '1_Pooling/config.json': { pooling_mode: 'mean', include_prompt: false },
      },
      ArgumentError,
      /include_prompt false is not supported/,
    ],
  ] as const)('that are not supported are named: %s', async (name, files, type, message) => {
    const error = await read(name, files).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(type)
    expect((error as Error).message).toMatch(message)
  })

  it.each([
    [{}, 'sigmoid'],
    [{ sentence_transformers: { activation_fn: 'torch.nn.modules.linear.Identity' } }, 'identity'],
    [{ sbert_ce_default_activation_function: 'torch.nn.modules.activation.Sigmoid' }, 'sigmoid'],
  ])('say how scores of pairs are read: %j', async (json, expected) =>
    expect(await readRankingFunction(await recipe('ranking', { 'config.json': json }))).toBe(expected),
  )
  it('refuse other functions', async () => {
    const path = await recipe('tanh', { 'config.json': { sentence_transformers: { activation_fn: 'torch.Tanh' } } })
    await expect(readRankingFunction(path)).rejects.toThrow('activation_fn "torch.Tanh" is not supported')
  })
})

it('an encoder in int8 keeps blocks, and bf16 for what is looked up and for the values of attention', async () => {
  using packed = (await AutoModel.fromPretrained(referenceFolder('bert-cls'), { dtype: 'int8' })) as EncoderForTask
  const formats = new Set<string>()
  for (const { isLookedUp, int8 } of packableWeights(packed.body).values())
    formats.add(`${isLookedUp ? 'looked up' : 'multiplied by'}: ${int8}`)
  expect([...formats].sort()).toEqual(['looked up: bf16', 'multiplied by: bf16', 'multiplied by: q8_0'])
  using exact = await model.embed({ inputIds: rows }, { normalize: true })
  using rounded = await packed.embed({ inputIds: rows }, { normalize: true })
  const [a, b] = [exact.toArray() as number[][], rounded.toArray() as number[][]]
  a.forEach((vector, i) => expect(vector.reduce((sum, x, j) => sum + x * b[i]![j]!, 0)).toBeGreaterThan(0.9995))
})
