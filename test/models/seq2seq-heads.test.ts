import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { AutoModelForSeq2SeqLM } from '../../lib/generate/seq2seq-lm.ts'
import type { EncoderDecoderForTask } from '../../lib/models/encoder-decoder-for-task.ts'
import {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTextEncoding,
  AutoModelForTokenClassification,
  type TextModel,
} from '../../lib/models/auto.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, type Summary } from '../reference/summary.ts'
import { writeReferenceModel } from '../reference/weight-values.ts'
import { bits, referenceFolder } from './reference-suite.ts'

interface HeadCase {
  name: string
  config: { architectures: string[] }
  weights: Record<string, number[]>
  inputs: {
    input_ids: number[][]
    attention_mask: number[][]
    labels?: number[] | number[][]
    start_positions?: number[]
    end_positions?: number[]
  }
  /** Zero where there is padding. */
  logits?: number[][] | number[][][]
  loss?: number
  gradients?: Record<string, Summary>
  /** Of an encoder alone. */
  last_hidden_state?: number[][][]
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6
/** Gradients of T5, whose scores are not scaled: in f32, torch itself is off by 8.5e-6 at t5-relu-tied. */
const gradientTolerance = 2e-5

const path = fileURLToPath(new URL('../reference/seq2seq.json.gz', import.meta.url))
const { heads } = JSON.parse(gunzipSync(await readFile(path)).toString()) as { heads: HeadCase[] }

const autoClasses: Record<string, { fromPretrained(folder: string): Promise<TextModel> }> = {
  EncoderModel: AutoModelForTextEncoding,
  ForSequenceClassification: AutoModelForSequenceClassification,
  ForTokenClassification: AutoModelForTokenClassification,
  ForQuestionAnswering: AutoModelForQuestionAnswering,
}

describe.each(heads)('$name: what transformers computed', ({ config, weights, inputs, ...expected }) => {
  const auto = Object.entries(autoClasses).find(([end]) => config.architectures[0]!.endsWith(end))![1]
  const isByEnd = auto === AutoModelForSequenceClassification
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

  it('gives the logits, or the hidden states', async () => {
    using outputs = await model.run(given, { outputAttentions: [1] })
    const [attention] = outputs.attentions!
    expect(attention!.shape).toEqual([given.inputIds.length, 4, given.inputIds[0]!.length, given.inputIds[0]!.length])
    if (expected.logits)
      expect(deviation(outputs.logits!.data(), (expected.logits as number[][]).flat(2))).toBeLessThan(tolerance)
    else expect(deviation(outputs.lastHiddenState.data(), expected.last_hidden_state!.flat(2))).toBeLessThan(tolerance)
    using together = await model.run(given)
    expect(deviation(together.lastHiddenState.data(), outputs.lastHiddenState.data())).toBeLessThan(1e-6)
  })

  it.runIf(expected.gradients)('gives the loss and the gradients', async () => {
    const { labels, start_positions: startPositions, end_positions: endPositions } = inputs
    const { loss, gradients } = await model.lossAndGradients({ ...given, labels, startPositions, endPositions })
    expect(deviation([loss], [expected.loss!])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(expected.gradients!).sort())
    expectGradients(gradients, expected.gradients!, {
      tolerance: config.architectures[0]!.startsWith('T5') ? gradientTolerance : tolerance,
      zero: tolerance,
    })
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
    if (!isByEnd) (await run)[Symbol.dispose]()
    else await expect(run).rejects.toThrow('row 0 should end with the token that ends a text (2)')
    await expect(AutoModelForMaskedLM.fromPretrained(folder)).rejects.toThrow(ArgumentError)
  })
})

it('the encoder of a T5 is opened alone from a file with both, for vectors of texts too', async () => {
  const whole = referenceFolder('t5-relu-tied')
  using alone = await AutoModelForTextEncoding.fromPretrained(whole)
  using both = await AutoModel.fromPretrained<EncoderDecoderForTask>(whole)
  const inputIds = [[5, 6, 7, 8, 1], [9, 1]] // prettier-ignore
  using outputs = await alone.run({ inputIds })
  using expected = await both.run({ inputIds, decoderInputIds: [[0], [0]] })
  expect(outputs.lastHiddenState.data()).toEqual(expected.encoderLastHiddenState.data())
  using vectors = await alone.embed({ inputIds }, { normalize: true })
  expect(vectors.shape).toEqual([2, both.body.config.hiddenSize])
  await expect(AutoModelForTextEncoding.fromPretrained(referenceFolder('bart'))).rejects.toThrow(
    'bart has no head for encoder; it has seq2seq-lm, sequence-classification, question-answering, none (AutoModel)',
  )
})

it('holes of a T5 are left out at the distances of their columns', async () => {
  using model = await AutoModelForSeq2SeqLM.fromPretrained(referenceFolder('t5-relu-tied'))
  const inputs = { inputIds: [[5, 3, 7, 8, 1], [9, 4, 4, 4, 1]], labels: [[4, 5], [6, 7]] } // prettier-ignore
  const attentionMask = [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1]] // prettier-ignore
  using outputs = await model.run({ ...inputs, attentionMask })
  // What stands in the hole does not count, but that there is one does.
  using others = await model.run({ ...inputs, inputIds: [[5, 90, 7, 8, 1], inputs.inputIds[1]!], attentionMask })
  expect(others.logits!.data()).toEqual(outputs.logits!.data())
  using closed = await model.run({ ...inputs, inputIds: [[5, 7, 8, 1], inputs.inputIds[1]!] })
  const [first, second] = [outputs, closed].map(({ logits }) => logits!.toArray() as number[][][])
  expect(deviation(first![0]!.flat(), second![0]!.flat())).toBeGreaterThan(1e-4)
  expect(deviation(first![1]!.flat(), second![1]!.flat())).toBeLessThan(1e-6)
  await expect(model.generate({ inputIds: inputs.inputIds, attentionMask })).rejects.toThrow('one row at a time only')
  await expect(model.lossAndGradients({ ...inputs, attentionMask })).rejects.toThrow('one row at a time only')
})
