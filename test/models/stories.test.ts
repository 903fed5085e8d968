import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generate } from '../../lib/generate/generate.ts'
import { compile } from '../../lib/graph/compile.ts'
import { AutoTokenizer } from '../../lib/models/auto-tokenizer.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import {
  readExpectedStories,
  storiesFolder,
  storiesTypes,
  writeStoriesGguf,
  type ExpectedStories,
} from '../reference/stories.ts'

let folder: string
let expected: ExpectedStories
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  expected = await readExpectedStories()
  for (const type of storiesTypes) await writeStoriesGguf(join(folder, `${type}.gguf`), type)
})
afterAll(() => rm(folder, { recursive: true }))

/** −log p of each token but the first, in the mean, by one pass over all. */
function meanNll(model: DecoderModel, ids: readonly number[]): number {
  using program = compile((inputs: { tokens: Tensor; targets: Tensor }) => model.loss(inputs))
  using tokens = tensor([ids.slice(0, -1)], { dtype: 'i32' })
  using targets = tensor([ids.slice(1)], { dtype: 'i32' })
  using loss = program.runSync({ tokens, targets })
  return loss.item()
}

describe('a trained Llama', () => {
  it.each(['safetensors', 'f32', 'f16'])('tells its story: %s', async (format) => {
    const path = format === 'safetensors' ? storiesFolder : join(folder, `${format}.gguf`)
    const tokenizer = await AutoTokenizer.fromPretrained(path)
    using model = await loadDecoder(path)
    const ids = expected.ids.slice(0, 1)
    for await (const id of generate(model, ids, { maxNewTokens: 200, temperature: 0 })) ids.push(id)
    expect(ids).toEqual(expected.ids)
    expect(tokenizer.decode(ids.slice(1)).trimStart()).toBe(expected.text)
  })

  it.each(storiesTypes)('finds its story as likely as numpy does: %s', async (type) => {
    using model = await loadDecoder(join(folder, `${type}.gguf`))
    expect(Math.abs(meanNll(model, expected.ids) - expected.meanNll[type])).toBeLessThan(2e-6)
  })
})
