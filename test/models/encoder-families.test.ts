import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForPreTraining,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  type TextModel,
} from '../../lib/models/auto.ts'
import { fromData } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, expectSummary, type Summary } from '../reference/summary.ts'
import { weightValues } from '../reference/weight-values.ts'
import { bits } from './reference-suite.ts'

interface Case {
  name: string
  config: { architectures: string[] }
  /** The shape of each tensor of the checkpoint. */
  weights: Record<string, number[]>
  inputs: {
    input_ids: number[][]
    attention_mask: number[][]
    token_type_ids?: number[][]
    labels?: number[] | number[][]
    start_positions?: number[]
    end_positions?: number[]
  }
  /** Of the rows that are no padding. */
  states: Summary[]
  attentions: Summary[]
  last_hidden_state?: number[][][]
  logits?: unknown
  loss?: number
  gradients?: Record<string, Summary>
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6

const autoClasses: Record<string, { fromPretrained(folder: string): Promise<TextModel> }> = {
  Model: AutoModel,
  ForMaskedLM: AutoModelForMaskedLM,
  ForSequenceClassification: AutoModelForSequenceClassification,
  ForTokenClassification: AutoModelForTokenClassification,
  ForQuestionAnswering: AutoModelForQuestionAnswering,
  ForPreTraining: AutoModelForPreTraining,
}

const path = fileURLToPath(new URL('../reference/encoders.json.gz', import.meta.url))
const { cases } = JSON.parse(gunzipSync(await readFile(path)).toString()) as { cases: Case[] }

describe.each(cases)('$name: what transformers computed', ({ config, weights, inputs, ...expected }) => {
  let folder: string
  let model: TextModel
  const given = {
    inputIds: inputs.input_ids,
    attentionMask: inputs.attention_mask,
    ...(inputs.token_type_ids && { tokenTypeIds: inputs.token_type_ids }),
  }
  const auto = Object.entries(autoClasses).find(([end]) => config.architectures[0]!.endsWith(end))![1]

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    const tensors = Object.entries(weights).map(
      ([name, shape]) => [name, fromData(weightValues(name, shape), { shape })] as const,
    )
    await writeSafetensors(join(folder, 'model.safetensors'), tensors)
    for (const [, tensor] of tensors) tensor.dispose()
    await writeFile(join(folder, 'config.json'), JSON.stringify(config))
    model = await auto.fromPretrained(folder)
  })
  afterAll(async () => {
    model.dispose()
    await rm(folder, { recursive: true })
  })

  /** Rows of tokens that are no padding. */
  const seen = (rows: number[][][], first = 0): number[] =>
    rows.flatMap((row, i) => row.filter((_, j) => inputs.attention_mask[first + i]![j] === 1)).flat()

  it('gives the hidden states and the logits', async () => {
    using outputs = await model.run(given, { outputHiddenStates: true, outputAttentions: true })
    expect(outputs.hiddenStates!.length).toBe(expected.states.length)
    outputs.hiddenStates!.forEach((state, i) =>
      expectSummary(seen(state.toArray() as number[][][]), expected.states[i]!, tolerance, `state ${i}`),
    )
    expect(outputs.attentions!.length).toBe(expected.attentions.length)
    outputs.attentions!.forEach((weights, layer) =>
      expectSummary(
        (weights.toArray() as number[][][][]).flatMap((heads, i) =>
          heads
            .map((rows) => seen([rows.map((row) => row.filter((_, j) => inputs.attention_mask[i]![j] === 1))], i))
            .flat(),
        ),
        expected.attentions[layer]!,
        tolerance,
        `attention ${layer}`,
      ),
    )
    if (expected.last_hidden_state)
      expect(
        deviation(seen(outputs.lastHiddenState.toArray() as number[][][]), seen(expected.last_hidden_state)),
      ).toBeLessThan(tolerance)
    if (expected.logits === undefined) return
    const numbers = (logits: unknown): number[] =>
      model.head!.isForTokens ? seen(logits as number[][][]) : (logits as number[][]).flat()
    expect(deviation(numbers(outputs.logits!.toArray()), numbers(expected.logits))).toBeLessThan(tolerance)
  })

  it.runIf(expected.gradients)('gives the loss and the gradients', async () => {
    const { labels, start_positions: startPositions, end_positions: endPositions } = inputs
    const { loss, gradients } = await model.lossAndGradients({ ...given, labels, startPositions, endPositions })
    expect(deviation([loss], [expected.loss!])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(weights).sort())
    expectGradients(gradients, expected.gradients!, { tolerance })
  })

  it('is the same, bit for bit, after saving and loading', async () => {
    const copy = join(folder, 'copy')
    await model.savePretrained(copy)
    using loaded = await auto.fromPretrained(copy)
    expect(loaded.body.config).toEqual(model.body.config)
    expect(loaded.labels).toEqual(model.labels)
    const [given, kept] = [config, JSON.parse(await readFile(join(copy, 'config.json'), 'utf8'))] as Record<
      string,
      unknown
    >[]
    for (const key of ['bos_token_id', 'eos_token_id', 'pad_token_id', 'cls_token_id', 'sep_token_id'])
      if (given![key] !== undefined) expect(kept![key], key).toBe(given![key])
    const parameters = loaded.parameters()
    for (const [name, parameter] of model.parameters())
      expect(bits(parameters.get(name)!), name).toEqual(bits(parameter))
  })
})
