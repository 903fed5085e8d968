import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AutoModelForSeq2SeqLM, type Seq2SeqLM } from '../../lib/generate/seq2seq-lm.ts'
import { optionsOfFile, type Seq2SeqGenerateOptions } from '../../lib/generate/generation-options.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, expectSummary, type Summary } from '../reference/summary.ts'
import { writeReferenceModel } from '../reference/weight-values.ts'
import { bits } from './reference-suite.ts'

interface Case {
  name: string
  config: object
  /** The shape of each tensor of the checkpoint. */
  weights: Record<string, number[]>
  inputs: { input_ids: number[][]; attention_mask: number[][]; labels: number[][] }
  /** Of the rows that are no padding. */
  encoder_states: Summary[]
  decoder_states: Summary[]
  encoder_attentions: Summary[]
  decoder_attentions: Summary[]
  cross_attentions: Summary[]
  logits: number[][][]
  loss: number
  gradients: Record<string, Summary>
  /** Options as transformers calls them, and what follows a target's first token, filled up at the end. */
  generate: { options: Record<string, unknown>; tokens: number[][] }[]
}

const optionsOf = (options: Record<string, unknown>): Seq2SeqGenerateOptions =>
  optionsOfFile(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null)), 'options', 'seq2seq')

/** Without what fills up. */
const cut = (tokens: number[], stops: readonly number[]): number[] => {
  const end = tokens.findIndex((token) => stops.includes(token))
  return end < 0 ? tokens : tokens.slice(0, end + 1)
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6
/** Gradients of T5, whose scores are not scaled: in f32, torch itself is off by 8.5e-6 at t5-relu-tied. */
const gradientTolerance = 2e-5

const path = fileURLToPath(new URL('../reference/seq2seq.json.gz', import.meta.url))
const { cases } = JSON.parse(gunzipSync(await readFile(path)).toString()) as { cases: Case[] }

describe.each(cases)('$name: what transformers computed', ({ config, weights, inputs, ...expected }) => {
  let folder: string
  let model: Seq2SeqLM
  const given = { inputIds: inputs.input_ids, attentionMask: inputs.attention_mask, labels: inputs.labels }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeReferenceModel(folder, config, weights)
    model = await AutoModelForSeq2SeqLM.fromPretrained(folder)
  })
  afterAll(async () => {
    model.dispose()
    await rm(folder, { recursive: true })
  })

  it('gives the hidden states and the logits', async () => {
    using outputs = await model.run(given, { outputHiddenStates: true, outputAttentions: true })
    const seen = (state: Tensor): number[] =>
      (state.toArray() as number[][][]).flatMap((row, i) => row.filter((_, j) => inputs.attention_mask[i]![j])).flat()
    expect(outputs.encoderHiddenStates!.length).toBe(expected.encoder_states.length)
    expect(outputs.decoderHiddenStates!.length).toBe(expected.decoder_states.length)
    outputs.encoderHiddenStates!.forEach((state, i) =>
      expectSummary(seen(state), expected.encoder_states[i]!, tolerance, `encoder's state ${i}`),
    )
    outputs.decoderHiddenStates!.forEach((state, i) =>
      expectSummary(state.data() as Float32Array, expected.decoder_states[i]!, tolerance, `decoder's state ${i}`),
    )
    expect(deviation(outputs.logits!.data(), expected.logits.flat(2))).toBeLessThan(tolerance)
    const isSeen = (row: number, column: number): boolean => inputs.attention_mask[row]![column] === 1
    const weights = (tensor: Tensor, ofSource: boolean): number[] =>
      (tensor.toArray() as number[][][][]).flatMap((heads, i) =>
        heads
          .flatMap((rows) => rows.filter((_, j) => !ofSource || isSeen(i, j)))
          .flatMap((row) => row.filter((_, j) => isSeen(i, j))),
      )
    const numLayers = Math.max(expected.encoder_attentions.length, expected.decoder_attentions.length)
    expect(numLayers).toBe(2)
    outputs.encoderAttentions!.forEach((tensor, i) =>
      expectSummary(weights(tensor, true), expected.encoder_attentions[i]!, tolerance, `encoder's attention ${i}`),
    )
    outputs.decoderAttentions!.forEach((tensor, i) =>
      expectSummary(tensor.data() as Float32Array, expected.decoder_attentions[i]!, tolerance, `decoder's ${i}`),
    )
    outputs.crossAttentions!.forEach((tensor, i) =>
      expectSummary(weights(tensor, false), expected.cross_attentions[i]!, tolerance, `cross attention ${i}`),
    )
    expect(outputs.crossAttentions!.length).toBe(expected.cross_attentions.length)
  })

  it('gives the loss and the gradients', async () => {
    const { loss, gradients } = await model.lossAndGradients(given)
    expect(deviation([loss], [expected.loss])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expectGradients(gradients, expected.gradients, { tolerance: gradientTolerance, zero: tolerance })
  })

  it.each(expected.generate)('generates the same tokens with $options', async ({ options, tokens }) => {
    const { stopTokens = [], ...others } = optionsOf(options)
    const { inputIds, attentionMask } = given
    const made = await model.generate({ inputIds, attentionMask }, { maxNewTokens: 12, stopTokens, ...others })
    expect(made).toEqual(tokens.map((row) => cut(row, stopTokens)))
  })

  it('generates for one row what it generates in a batch', async () => {
    const { inputIds, attentionMask } = given
    for (const numBeams of [1, 3]) {
      const options = { maxNewTokens: 6, stopTokens: [], numBeams, decoderStartTokenId: 7 }
      const together = await model.generate({ inputIds, attentionMask }, options)
      for (const [i, row] of inputIds.entries())
        expect(await model.generate({ inputIds: [row], attentionMask: [attentionMask[i]!] }, options)).toEqual([
          together[i],
        ])
    }
  })

  it.runIf('model.shared.weight' in weights)(
    'opens from a file that has the shared embedding by another name',
    async () => {
      const renamed = join(folder, 'renamed')
      await mkdir(renamed)
      const { 'model.shared.weight': shape, ...others } = weights
      await writeReferenceModel(renamed, config, others, { 'lm_head.weight': ['model.shared.weight', shape!] })
      using same = await AutoModelForSeq2SeqLM.fromPretrained(renamed)
      using expectedOutputs = await model.run(given)
      using outputs = await same.run(given)
      expect(outputs.logits!.data()).toEqual(expectedOutputs.logits!.data())
    },
  )

  it('is the same, bit for bit, after saving and loading', async () => {
    const copy = join(folder, 'copy')
    await model.savePretrained(copy)
    using loaded = await AutoModelForSeq2SeqLM.fromPretrained(copy)
    expect(loaded.body.config).toEqual(model.body.config)
    const parameters = loaded.body.parameters()
    for (const [name, parameter] of model.body.parameters())
      expect(bits(parameters.get(name)!), name).toEqual(bits(parameter))
  })
})
