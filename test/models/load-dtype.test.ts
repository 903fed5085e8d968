import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { writeSafetensors, readSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { ArgumentError, ExecutionError } from '../../lib/errors.ts'
import { compile } from '../../lib/graph/compile.ts'
import { AutoModel, AutoModelForMaskedLM } from '../../lib/models/auto.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import type { EncoderForTask } from '../../lib/models/encoder-for-task.ts'
import { loadDecoder, saveDecoder } from '../../lib/models/pretrained.ts'
import { loadDTypes, type LoadDType } from '../../lib/models/weight-formats.ts'
import type { GatedFeedForward } from '../../lib/nn/feed-forward.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { dequantize, QuantizedMatrix } from '../../lib/ops/quantize.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { heldBytes } from '../held-bytes.ts'
import { readExpectedStories, storiesFolder, writeStoriesGguf, type StoriesType } from '../reference/stories.ts'
import { referenceFolder } from './reference-suite.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'heedful-'))
  for (const type of ['f16', 'q8_0', 'q5_1', 'q4_0'] as const)
    await writeStoriesGguf(join(scratch, `${type}.gguf`), type)
  await mkBf16()
})
afterAll(() => rm(scratch, { recursive: true }))

async function mkBf16(): Promise<void> {
  const { tensors } = await readSafetensors(join(storiesFolder, 'model.safetensors'))
  for (const name of ['config.json', 'tokenizer.json']) await cp(join(storiesFolder, name), join(scratch, 'bf16', name))
  await writeSafetensors(join(scratch, 'bf16', 'model.safetensors'), tensors, {}, { dtype: 'bf16' })
  for (const held of tensors.values()) held.dispose()
}

const formatOf = (weight: Tensor): string =>
  weight.packed instanceof QuantizedMatrix ? weight.packed.format : weight.dtype

const formats = (model: DecoderModel): Record<string, string> => ({
  embedding: formatOf(model.tokenEmbedding.weight),
  query: formatOf(model.layers[0]!.attention.query!.weight),
  down: formatOf((model.layers[0]!.mlp as GatedFeedForward).down.weight),
  norm: formatOf(model.norm.weight),
})

async function meanNll(model: DecoderModel): Promise<number> {
  const { ids } = await readExpectedStories()
  using program = compile((inputs: { tokens: Tensor; targets: Tensor }) => model.loss(inputs))
  using tokens = tensor([ids.slice(0, -1)], { dtype: 'i32' })
  using targets = tensor([ids.slice(1)], { dtype: 'i32' })
  using loss = program.runSync({ tokens, targets })
  return loss.item()
}

describe('what the weights are kept as', () => {
  const cases: [string, LoadDType, string, string, string][] = [
    // file, dtype → embedding, query, down
    ['safetensors', 'f32', 'f32', 'f32', 'f32'],
    ['safetensors', 'auto', 'f32', 'f32', 'f32'],
    ['safetensors', 'bf16', 'bf16', 'bf16', 'bf16'],
    ['safetensors', 'int8', 'int8', 'int8', 'int8'],
    ['safetensors', 'int4', 'int8', 'q4_0', 'q4_0'],
    ['bf16', 'auto', 'bf16', 'bf16', 'bf16'],
    ['bf16', 'f32', 'f32', 'f32', 'f32'],
    ['f16', 'auto', 'f16', 'f16', 'f16'],
    // Rows of 172 numbers are no whole blocks, and F16 in the file.
    ['q8_0', 'auto', 'q8_0', 'q8_0', 'f16'],
    ['q8_0', 'int8', 'q8_0', 'q8_0', 'int8'],
    ['q8_0', 'int4', 'q8_0', 'q4_0', 'q4_0'],
    ['q8_0', 'bf16', 'bf16', 'bf16', 'bf16'],
    ['q5_1', 'auto', 'q8_0', 'q8_0', 'f16'],
    ['q4_0', 'auto', 'q4_0', 'q4_0', 'f16'],
    ['q4_0', 'int8', 'q4_0', 'q4_0', 'int8'],
  ]
  it.each(cases)('%s as %s', async (file, dtype, embedding, query, down) => {
    using model = await loadDecoder(pathOf(file), { dtype })
    expect(formats(model)).toEqual({ embedding, query, down, norm: 'f32' })
  })
})

const pathOf = (file: string): string =>
  file === 'safetensors' ? storiesFolder : join(scratch, file === 'bf16' ? 'bf16' : `${file}.gguf`)

describe('numbers', () => {
  it.each(['bf16', 'f16', 'q8_0', 'q4_0'])('of a file in %s are kept to the last bit', async (file) => {
    using f32 = await loadDecoder(pathOf(file))
    using packed = await loadDecoder(pathOf(file), { dtype: 'auto' })
    const wide = f32.parameters()
    let compared = 0
    for (const [path, parameter] of packed.parameters()) {
      if (!(parameter.packed instanceof QuantizedMatrix)) continue
      using numbers = dequantize(parameter.packed)
      const [rows, columns] = parameter.shape as [number, number]
      const [kept, read] = [numbers.data(), wide.get(path)!.data()]
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++)
          if (!Object.is(kept[j * rows + i], read[i * columns + j])) expect.fail(`${path} [${i}, ${j}]`)
      compared++
    }
    expect(compared).toBe(1 + 5 * 7 + (file === 'bf16' ? 0 : 1))
  })

  it.each<[StoriesType | 'bf16' | 'safetensors', LoadDType, number]>([
    ['safetensors', 'bf16', 0.01],
    ['safetensors', 'int8', 0.02],
    ['bf16', 'auto', 0.01],
    ['f16', 'auto', 1e-3],
    ['q8_0', 'auto', 0.02],
    ['q5_1', 'auto', 0.02],
    ['q4_0', 'auto', 0.02],
  ])('%s as %s: the trained model finds its story as likely', async (file, dtype, tolerance) => {
    const { meanNll: all } = await readExpectedStories()
    const expected = all[file === 'safetensors' || file === 'bf16' ? 'f32' : file]
    using model = await loadDecoder(pathOf(file), { dtype })
    expect(Math.abs((await meanNll(model)) / expected - 1)).toBeLessThan(tolerance)
  })

  it.each(['gpt2', 'llama-gqa'])('%s gives nearly the same logits', async (name) => {
    using exact = await loadDecoder(referenceFolder(name))
    const rows = [1, 2, 60, 10, 33, 7].map((first) => [first, 5, (first * 9) % 96, 42, 77, 3])
    using tokens = tensor(rows, { dtype: 'i32' })
    const logits = (model: DecoderModel): Float32Array => {
      using program = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
      using result = program.runSync({ tokens })
      return Float32Array.from(result.data())
    }
    const expected = logits(exact)
    // Of random weights; blocks of 4 bits are whole rows of 32 here.
    const bounds = { f32: 0, auto: 0, bf16: 0.01, int8: 0.03, int4: 0.35 }
    for (const dtype of loadDTypes) {
      using model = await loadDecoder(referenceFolder(name), { dtype })
      const got = logits(model)
      let [off, size] = [0, 0]
      expected.forEach((value, i) => {
        off += (got[i]! - value) ** 2
        size += value ** 2
      })
      expect(Math.sqrt(off / size), dtype).toBeLessThanOrEqual(bounds[dtype])
    }
  })

  it('of an encoder with a tied output', async () => {
    const folder = referenceFolder('bert-mlm')
    const scores = async (dtype: LoadDType): Promise<Float32Array> => {
      using model = await AutoModelForMaskedLM.fromPretrained(folder, { dtype })
      using outputs = await model.run({
        inputIds: [
          [3, 17, 40, 8],
          [5, 6],
        ],
      })
      return Float32Array.from(outputs.logits!.data())
    }
    const expected = await scores('f32')
    for (const [dtype, bound] of [
      ['bf16', 0.01],
      ['int8', 0.03],
    ] as const) {
      const got = await scores(dtype)
      let [off, size] = [0, 0]
      expected.forEach((value, i) => {
        off += (got[i]! - value) ** 2
        size += value ** 2
      })
      expect(Math.sqrt(off / size), dtype).toBeLessThan(bound)
    }
  })
})

describe('a model for inference', () => {
  it('is not trained, saved or read: the error says what to do', async () => {
    using model = await loadDecoder(storiesFolder, { dtype: 'int8' })
    using tokens = tensor([[1, 5, 9]], { dtype: 'i32' })
    using targets = tensor([[5, 9, 2]], { dtype: 'i32' })
    const training = (): unknown =>
      valueAndGrad(
        (inputs: { tokens: Tensor; targets: Tensor }) => model.loss(inputs),
        model.parameters(),
      )({ tokens, targets })
    const told = /kept as QuantizedMatrix int8 .* \{ dtype: 'f32', trainable: true \} to train or save/
    expect(training).toThrow(ExecutionError)
    expect(training).toThrow(told)
    await expect(saveDecoder(model, join(scratch, 'never'))).rejects.toThrow(told)
    expect(() => model.tokenEmbedding.weight.data()).toThrow(told)
  })

  it.each<[string, LoadDType]>([
    ['safetensors', 'f32'],
    ['safetensors', 'auto'],
    ['bf16', 'f32'],
  ])('has what stays f32 packed, too: %s as %s', async (file, dtype) => {
    using model = await loadDecoder(pathOf(file), { dtype, trainable: false })
    using trainable = await loadDecoder(pathOf(file), { dtype })
    expect(formats(model)).toEqual({ embedding: 'f32', query: 'f32', down: 'f32', norm: 'f32' })
    expect(model.layers[0]!.attention.query!.weight.packed).toBeInstanceOf(QuantizedMatrix)
    expect(model.tokenEmbedding.weight.packed).toBeInstanceOf(QuantizedMatrix)
    expect(trainable.layers[0]!.attention.query!.weight.packed).toBeUndefined()
    expect(await meanNll(model)).toBeCloseTo(await meanNll(trainable), 5)
  })

  it('keeps tables that are no factor of a product as the file has them', async () => {
    using encoder = (await AutoModel.fromPretrained(referenceFolder('bert-cls'), { dtype: 'int8' })) as EncoderForTask
    using masked = (await AutoModelForMaskedLM.fromPretrained(referenceFolder('bert-mlm'), {
      dtype: 'int8',
    })) as EncoderForTask
    expect(formatOf(encoder.body.tokenEmbedding.weight)).toBe('f32')
    expect(formatOf(encoder.body.positionEmbedding!.weight)).toBe('f32')
    expect(formatOf(masked.body.tokenEmbedding.weight)).toBe('bf16')
  })

  it('gives its memory back', async () => {
    const before = await heldBytes()
    const model = await loadDecoder(storiesFolder, { dtype: 'int4' })
    expect(await heldBytes()).toBeGreaterThan(before)
    model.dispose()
    // Less, when what was left of a test before is gone by now.
    expect(await heldBytes()).toBeLessThanOrEqual(before)
  })

  it('shares what is packed with another of the same file', async () => {
    using first = await loadDecoder(storiesFolder, { dtype: 'int8' })
    const before = await heldBytes()
    using second = await loadDecoder(storiesFolder, { dtype: 'int8' })
    // Norms are their own.
    expect((await heldBytes()) - before).toBeLessThan(20_000)
    expect(await meanNll(second)).toBe(await meanNll(first))
  })

  it('does not take an unknown dtype', () =>
    expect(loadDecoder(storiesFolder, { dtype: 'int7' as never })).rejects.toThrow(ArgumentError))
})

describe('f32 is mapped', () => {
  it('and changes for itself alone', async () => {
    using model = await loadDecoder(storiesFolder)
    using other = await loadDecoder(storiesFolder)
    const weight = model.norm.weight.data()
    const before = weight[0]!
    weight[0] = 77
    expect(other.norm.weight.data()[0]).toBe(before)
    await using checkpoint = await openCheckpoint(storiesFolder)
    using tensorOfFile = await checkpoint.read('model.norm.weight')
    expect(tensorOfFile.data()[0]).toBe(before)
  })
})
