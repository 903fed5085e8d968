import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import {
  AutoModelForMaskedLM,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  type TextModel,
} from '../../lib/models/auto.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, type Summary } from '../reference/summary.ts'
import { writeReferenceModel } from '../reference/weight-values.ts'
import { bits } from './reference-suite.ts'

interface HeadCase {
  name: string
  config: { architectures: string[] }
  weights: Record<string, number[]>
  inputs: {
    input_ids: number[][]
    attention_mask: number[][]
    labels?: number[]
    start_positions?: number[]
    end_positions?: number[]
  }
  logits: number[][] | number[][][]
  loss: number
  gradients: Record<string, Summary>
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6

const path = fileURLToPath(new URL('../reference/seq2seq.json.gz', import.meta.url))
const { heads } = JSON.parse(gunzipSync(await readFile(path)).toString()) as { heads: HeadCase[] }

describe.each(heads)('$name: what transformers computed', ({ config, weights, inputs, ...expected }) => {
  const isAnswer = config.architectures[0]!.endsWith('QuestionAnswering')
  const auto = isAnswer ? AutoModelForQuestionAnswering : AutoModelForSequenceClassification
  const given = { inputIds: inputs.input_ids, attentionMask: inputs.attention_mask }
  let folder: string
  let model: TextModel
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeReferenceModel(folder, config, weights)
    model = await auto.fromPretrained(folder)
  })
  afterAll(async () => {
    model.dispose()
    await rm(folder, { recursive: true })
  })

  it('gives the logits', async () => {
    using outputs = await model.run(given)
    expect(deviation(outputs.logits!.data(), (expected.logits as number[][]).flat(2))).toBeLessThan(tolerance)
  })

  it('gives the loss and the gradients', async () => {
    const { labels, start_positions: startPositions, end_positions: endPositions } = inputs
    const { loss, gradients } = await model.lossAndGradients({ ...given, labels, startPositions, endPositions })
    expect(deviation([loss], [expected.loss])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expectGradients(gradients, expected.gradients, { tolerance })
  })

  it('is the same, bit for bit, after saving and loading', async () => {
    const copy = join(folder, 'copy')
    await model.savePretrained(copy)
    using loaded = await auto.fromPretrained(copy)
    expect(loaded.labels).toEqual(model.labels)
    const parameters = loaded.parameters()
    for (const [name, parameter] of model.parameters())
      expect(bits(parameters.get(name)!), name).toEqual(bits(parameter))
  })

  it('needs the end of a text where that speaks for all of it, and has no other heads', async () => {
    const run = model.run({ inputIds: [[5, 6, 7]] })
    if (isAnswer) (await run)[Symbol.dispose]()
    else await expect(run).rejects.toThrow('row 0 should end with the token that ends a text (2)')
    await expect(AutoModelForMaskedLM.fromPretrained(folder)).rejects.toThrow(ArgumentError)
  })
})
