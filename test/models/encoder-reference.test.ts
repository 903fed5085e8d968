import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification } from '../../lib/models/auto.ts'
import { compile } from '../../lib/graph/compile.ts'
import type { EncoderForTask } from '../../lib/models/encoder-for-task.ts'
import type { ModelInputs } from '../../lib/models/model-inputs.ts'
import { clipScale, globalNorm, reshape } from '../../lib/ops/index.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { adamW } from '../../lib/train/adamw.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, type Summary } from '../reference/summary.ts'
import { bits, referenceFolder } from './reference-suite.ts'

interface Expected {
  inputs: {
    input_ids: number[][]
    attention_mask: number[][]
    token_type_ids: number[][]
    labels: number[] | number[][]
  }
  loss: number
  logits: number[][] | number[][][]
  last_hidden_state: number[][][]
  gradients: Record<string, Summary>
  grad_norm_first_step: number
  adamw: { losses: number[] }
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6

const models = [
  ['bert-mlm', AutoModelForMaskedLM],
  ['bert-cls', AutoModelForSequenceClassification],
] as const

describe.each(models)('%s: what transformers computed', (name, auto) => {
  const folder = referenceFolder(name)
  let expected: Expected
  let model: EncoderForTask
  let inputs: ModelInputs
  beforeAll(async () => {
    expected = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8')) as Expected
    const { input_ids: inputIds, attention_mask: attentionMask, token_type_ids: tokenTypeIds } = expected.inputs
    inputs = { inputIds, attentionMask, tokenTypeIds }
    model = (await auto.fromPretrained(folder)) as EncoderForTask
  })
  afterAll(() => model.dispose())

  /** Rows of tokens that are no padding. */
  const seen = (rows: number[][][]): number[] =>
    rows.flatMap((row, i) => row.filter((_, j) => expected.inputs.attention_mask[i]![j] === 1)).flat()
  const scoresOf = (logits: unknown): number[] =>
    model.head!.isForTokens ? seen(logits as number[][][]) : (logits as number[][]).flat()

  it('gives the logits and hidden states', async () => {
    using outputs = await model.run(inputs, { outputHiddenStates: true })
    expect(outputs.hiddenStates!.length).toBe(model.body.config.numLayers + 1)
    expect(deviation(scoresOf(outputs.logits!.toArray()), scoresOf(expected.logits))).toBeLessThan(tolerance)
    const hidden = outputs.lastHiddenState.toArray() as number[][][]
    expect(deviation(seen(hidden), seen(expected.last_hidden_state))).toBeLessThan(tolerance)
    using bare = await AutoModel.fromPretrained(folder)
    using alone = await bare.run(inputs)
    expect(alone.lastHiddenState.toArray()).toEqual(hidden)
  })

  it('gives the same for ragged rows as for padded ones, and alone as in a batch', async () => {
    using padded = await model.run(inputs)
    const lengths = expected.inputs.attention_mask.map((row) => row.filter((value) => value === 1).length)
    const cut = (rows: readonly (readonly number[])[]): number[][] => rows.map((row, i) => row.slice(0, lengths[i]))
    using ragged = await model.run({ inputIds: cut(inputs.inputIds), tokenTypeIds: cut(inputs.tokenTypeIds!) })
    expect(ragged.logits!.toArray()).toEqual(padded.logits!.toArray())
    const last = lengths.length - 1
    using alone = await model.run({
      inputIds: cut(inputs.inputIds).slice(last),
      tokenTypeIds: cut(inputs.tokenTypeIds!).slice(last),
    })
    const rows = padded.lastHiddenState.toArray() as number[][][]
    expect(
      deviation((alone.lastHiddenState.toArray() as number[][][]).flat(2), rows[last]!.slice(0, lengths[last]).flat()),
    ).toBeLessThan(tolerance)
  })

  it('gives the loss and the gradient of every parameter', async () => {
    const { loss, gradients } = await model.lossAndGradients({ ...inputs, labels: expected.inputs.labels })
    expect(deviation([loss], [expected.loss])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expect([...model.parameters().keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expectGradients(gradients, expected.gradients, { tolerance, isZero: (name) => name.endsWith('key.bias') })
  })

  it('trains as torch.optim.AdamW with clipping does', async () => {
    using trained = await auto.fromPretrained(folder)
    const parameters = trained.parameters()
    using optimizer = adamW({ weightDecay: 0.01, decayVectors: true })(parameters)
    const update = compile(
      ({ gradients, ...given }: { gradients: Map<string, Tensor>; learningRate: Tensor; step: Tensor }) => {
        const gradNorm = globalNorm([...gradients.values()])
        const step = reshape(given.step, [])
        optimizer.update(gradients, { ...given, step, gradientScale: clipScale(gradNorm, 1) })
        return gradNorm
      },
    )
    const losses: number[] = []
    for (let step = 1; step <= 4; step++) {
      const { loss, gradients } = await trained.lossAndGradients({ ...inputs, labels: expected.inputs.labels })
      losses.push(loss)
      using gradNorm = update.runSync({ gradients, learningRate: 1e-2, step: Int32Array.of(step) })
      if (step === 1) expect(deviation([gradNorm.item()], [expected.grad_norm_first_step])).toBeLessThan(tolerance)
      for (const gradient of gradients.values()) gradient.dispose()
    }
    update.dispose()
    expect(deviation(losses, expected.adamw.losses)).toBeLessThan(tolerance)
  })

  it('is the same, bit for bit, after saving and loading', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
    try {
      await model.savePretrained(copy)
      using loaded = await auto.fromPretrained(copy)
      expect(loaded.labels).toEqual(model.labels)
      const parameters = loaded.parameters()
      for (const [path, parameter] of model.parameters())
        expect(bits(parameters.get(path)!), path).toEqual(bits(parameter))
    } finally {
      await rm(copy, { recursive: true })
    }
  })
})
