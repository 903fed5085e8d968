import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { AutoConfig } from '../../lib/index.ts'

const reference = (name: string): string => fileURLToPath(new URL(`../reference/models/${name}`, import.meta.url))

it('tells what a model is', async () => {
  expect(await AutoConfig.fromPretrained(reference('bert-cls'))).toMatchObject({
    modelType: 'bert',
    task: 'sequence-classification',
    model: { hiddenSize: 32, numLayers: 2, numHeads: 4, context: 40 },
    labels: [expect.any(String), expect.any(String), expect.any(String)],
    json: { architectures: ['BertForSequenceClassification'] },
  })
  expect(await AutoConfig.fromPretrained(reference('llama-gqa'))).toMatchObject({
    modelType: 'llama',
    task: 'causal-lm',
    model: { numKeyValueHeads: 2, gated: true },
    labels: [],
  })
})

it('names what is not supported, and what is missing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'heedful-config-'))
  await expect(AutoConfig.fromPretrained(folder)).rejects.toMatchObject({ code: 'HEEDFUL_FILE' })
  const write = (json: object): Promise<void> => writeFile(join(folder, 'config.json'), JSON.stringify(json))
  await write({ model_type: 'mamba' })
  await expect(AutoConfig.fromPretrained(folder)).rejects.toThrow(/model_type "mamba" is not supported; supported: /)
  await write({
    model_type: 'bert',
    max_position_embeddings: 9,
    vocab_size: 5,
    hidden_size: 1e9,
    num_hidden_layers: 'two',
  })
  await expect(AutoConfig.fromPretrained(folder)).rejects.toThrow(/num_hidden_layers should be a whole number/)
  await rm(folder, { recursive: true })
})
