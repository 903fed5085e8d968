import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { ArgumentError, FileError, ShapeError } from '../../lib/errors.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
} from '../../lib/models/auto.ts'
import type { EncoderForTask } from '../../lib/models/encoder-for-task.ts'
import type { ModelInputs } from '../../lib/models/model-inputs.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { heldBytes } from '../held-bytes.ts'
import { deviation } from '../reference/deviation.ts'
import { referenceFolder } from './reference-suite.ts'

const classifier = referenceFolder('bert-cls')
let scratch: string
let model: EncoderForTask
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'heedful-'))
  model = (await AutoModelForSequenceClassification.fromPretrained(classifier)) as EncoderForTask
})
afterAll(async () => {
  model.dispose()
  await rm(scratch, { recursive: true })
})

/** The folder of a model with another config.json. */
async function changed(name: string, change: Record<string, unknown>): Promise<string> {
  const folder = join(scratch, name)
  await cp(classifier, folder, { recursive: true })
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...change }))
  return folder
}

describe('heads of one linear layer', () => {
  it.each([
    ['token-classification', AutoModelForTokenClassification, 'classifier', 4],
    ['question-answering', AutoModelForQuestionAnswering, 'qa_outputs', 2],
  ] as const)('%s', async (_, auto, layer, outputs) => {
    using bare = await AutoModel.fromPretrained(classifier)
    using weight = tensor.randn([outputs, 32], { seed: 1 })
    using bias = tensor.randn([outputs], { seed: 2 })
    const labels = { id2label: Object.fromEntries(Array.from({ length: outputs }, (__, id) => [id, `label ${id}`])) }
    const folder = await changed(layer, { architectures: undefined, ...labels })
    const tensors = [...bare.parameters(), [`${layer}.weight`, weight], [`${layer}.bias`, bias]] as never
    await writeSafetensors(join(folder, 'model.safetensors'), tensors)
    using loaded = await auto.fromPretrained(folder)
    const inputs = {
      inputIds: [
        [4, 8, 15],
        [16, 23, 42, 5, 6],
      ],
    }
    using outputsOf = await loaded.run(inputs)
    const hidden = outputsOf.lastHiddenState.toArray() as number[][][]
    const [w, b] = [weight.toArray() as number[][], bias.toArray() as number[]]
    const expected = hidden.map((row, i) =>
      row.map((x, j) =>
        b.map((start, o) => (j < inputs.inputIds[i]!.length ? x.reduce((sum, v, k) => sum + v * w[o]![k]!, start) : 0)),
      ),
    )
    const scores = outputsOf.logits!.toArray() as number[][][]
    expect(deviation(scores.flat(2), expected.flat(2))).toBeLessThan(5e-6)
    if (layer === 'classifier') expect(loaded.labels).toEqual(Object.values(labels.id2label))
  })
})

describe('padding', () => {
  it('may stand on the left: tokens keep their positions', async () => {
    using middle = await model.run({ inputIds: [[0, 0, 7, 8, 9]], attentionMask: [[0, 0, 1, 1, 1]] })
    const hidden = middle.lastHiddenState.toArray() as number[][][]
    expect(
      hidden[0]!
        .slice(0, 2)
        .flat()
        .every((value) => value === 0),
    ).toBe(true)
    using start = await model.run({ inputIds: [[7, 8, 9]] })
    const rows = (start.lastHiddenState.toArray() as number[][][])[0]!
    expect(deviation(hidden[0]!.slice(2).flat(), rows.flat())).toBeGreaterThan(1e-3)
  })
})

describe('what is wrong is told', () => {
  const cases: [string, ModelInputs, new (...args: never[]) => Error, RegExp][] = [
    ['no rows', { inputIds: [] }, ArgumentError, /^run: inputIds should have at least one row/],
    ['a row without tokens', { inputIds: [[1], []] }, ArgumentError, /^run: row 1 has no tokens/],
    ['numbers that are no ids', { inputIds: [[1.5]] }, ArgumentError, /^run: inputIds should hold whole numbers/],
    ['no rows at all', { inputIds: 5 as never }, ArgumentError, /^run: inputIds should be rows of numbers, got 5/],
    ['a mask of other rows', { inputIds: [[1, 2]], attentionMask: [[1]] }, ShapeError, /^run: attentionMask should/],
    ['too many tokens', { inputIds: [Array(41).fill(1) as number[]] }, ArgumentError, /41 tokens, .* at most 40/],
    ['an unknown name', { inputIds: [[1]], masks: [] } as never, ArgumentError, /^run: unknown option "masks"/],
  ]
  it.each(cases)('%s', async (_, inputs, type, message) => {
    const error = await model.run(inputs).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(type)
    expect((error as Error).message).toMatch(message)
  })

  it('an id beyond the vocabulary', () => expect(model.run({ inputIds: [[96]] })).rejects.toThrow(/embedding/))
  it('labels of other rows', () =>
    expect(model.lossAndGradients({ inputIds: [[1]], labels: [1, 2] })).rejects.toThrow(/labels should be 1 whole/))
  it('a task that a family does not have', () =>
    expect(AutoModelForMaskedLM.fromPretrained(referenceFolder('gpt2'))).rejects.toThrow(/gpt2 has no head for masked/))
  it('an encoder as a decoder', () => expect(loadDecoder(classifier)).rejects.toThrow(/bert is no decoder/))
  it('a head that the file has not', () =>
    expect(AutoModelForMaskedLM.fromPretrained(classifier)).rejects.toThrow(/cls\.predictions.* missing/))
  it('a configuration that changes the mathematics', async () => {
    const folder = await changed('relative', { position_embedding_type: 'relative_key' })
    await expect(AutoModel.fromPretrained(folder)).rejects.toThrow(/position_embedding_type "relative_key" is not supp/)
  })
  it('sizes that the file has not, taking no memory', async () => {
    const before = await heldBytes()
    const folder = await changed('huge', { vocab_size: 2 ** 40, hidden_size: 32 })
    const error = await AutoModel.fromPretrained(folder).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(ShapeError)
    const deep = await changed('deep', { num_hidden_layers: 9_000 })
    await expect(AutoModel.fromPretrained(deep)).rejects.toThrow(FileError)
    expect(await heldBytes()).toBe(before)
  })
})
