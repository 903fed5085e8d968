import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AutoModelForCausalLM, type CausalLM } from '../../lib/generate/causal-lm.ts'
import { optionsOfFile } from '../../lib/generate/generation-options.ts'
import {
  AutoModel,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  type TextModel,
} from '../../lib/models/auto.ts'
import type { TaskLabels } from '../../lib/models/objectives.ts'
import type { ModelInputs } from '../../lib/models/model-inputs.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { goldens, makeFolder, type HeadCase, type Sampled } from '../reference/decoder-goldens.ts'
import { deviation, norm } from '../reference/deviation.ts'
import { bits } from './reference-suite.ts'

const width = Math.max(...goldens.rows.map((row) => row.length))

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6
/** They add up over layers: the model with seven of them (four norms each) is off by up to 8e-6. */
const toleranceOf = (states: readonly unknown[]): number => (states.length > 4 ? 2 : 1) * tolerance

/** The rows of the goldens, filled up on one side. */
function padded(left: boolean): Required<Pick<ModelInputs, 'inputIds' | 'attentionMask'>> & { labels: number[][] } {
  const fill = <T>(row: T[], value: T): T[] => {
    const more = Array<T>(width - row.length).fill(value)
    return left ? [...more, ...row] : [...row, ...more]
  }
  const { rows } = goldens
  return {
    inputIds: rows.map((row) => fill(row, 0)),
    attentionMask: rows.map((row) => fill(Array<number>(row.length).fill(1), 0)),
    // Nothing says what the first token is but padding.
    labels: rows.map((row) => fill(left && row.length < width ? [-100, ...row.slice(1)] : row, -100)),
  }
}

function expectSampled(
  actual: ArrayLike<number>,
  { l2, sum, step, samples }: Sampled,
  name: string,
  bound = tolerance,
): void {
  const data = Array.from(actual)
  const seen = data.filter((_, i) => i % step === 0)
  const largest = Math.max(...data.map(Math.abs))
  expect(seen.length, name).toBe(samples.length)
  expect(Math.max(...seen.map((value, i) => Math.abs(value - samples[i]!))) / largest, name).toBeLessThan(bound)
  expect(Math.abs(norm(data) - l2) / l2, `${name}: norm`).toBeLessThan(bound)
  // What cancels in a sum leaves the rounding of what was added.
  const magnitude = data.reduce((total, value) => total + Math.abs(value), 0)
  expect(Math.abs(data.reduce((a, b) => a + b, 0) - sum) / magnitude, `${name}: sum`).toBeLessThan(bound)
}

function expectGradients(
  gradients: ReadonlyMap<string, Tensor>,
  expected: Readonly<Record<string, Sampled>>,
  bound = tolerance,
): void {
  expect([...gradients.keys()].sort()).toEqual(Object.keys(expected).sort())
  for (const [name, sampled] of Object.entries(expected))
    // What cancels, as a bias of all scores of a softmax does, is rounding on either side.
    if (sampled.l2 < 1e-7) expect(norm(Array.from(gradients.get(name)!.data())), name).toBeLessThan(1e-6)
    else expectSampled(gradients.get(name)!.data(), sampled, name, bound)
  for (const gradient of gradients.values()) gradient.dispose()
}

/** Rows [batch, width, size] at tokens that are no padding. */
const kept = (tensor: Tensor, { attentionMask }: ModelInputs): number[] =>
  (tensor.toArray() as number[][][]).flatMap((row, i) => row.filter((_, j) => attentionMask![i]![j] === 1)).flat()

/** [batch, heads, width, width] from tokens that are no padding to such. */
const keptPairs = (tensor: Tensor, { attentionMask }: ModelInputs): number[] =>
  (tensor.toArray() as number[][][][]).flatMap((heads, i) =>
    heads
      .flatMap((rows) => rows.filter((_, j) => attentionMask![i]![j]))
      .flatMap((row) => row.filter((_, j) => attentionMask![i]![j])),
  )

describe.each(Object.entries(goldens.cases))('%s: what transformers computed', (_, golden) => {
  let folder: string
  let model: CausalLM
  beforeAll(async () => {
    folder = await makeFolder({ ...golden, config: { architectures: [], ...golden.given } })
    model = await AutoModelForCausalLM.fromPretrained(folder)
  })
  afterAll(async () => {
    model.dispose()
    await rm(folder, { recursive: true })
  })

  it.each(['right', 'left'] as const)('gives logits, hidden states and loss of rows padded on the %s', async (side) => {
    const { labels, ...inputs } = padded(side === 'left')
    using outputs = await model.run(inputs, { outputHiddenStates: true, outputAttentions: true })
    expectSampled(kept(outputs.logits!, inputs), golden[side].logits, 'logits')
    expect(outputs.hiddenStates!.length).toBe(golden[side].hiddenStates.length)
    outputs.hiddenStates!.forEach((state, i) =>
      expectSampled(kept(state, inputs), golden[side].hiddenStates[i]!, `hidden state ${i}`),
    )
    expect(outputs.attentions!.length).toBe(golden[side].attentions.length)
    outputs.attentions!.forEach((weights, i) =>
      expectSampled(keptPairs(weights, inputs), golden[side].attentions[i]!, `attention ${i}`),
    )
    const { loss, gradients } = await model.lossAndGradients({ ...inputs, labels })
    expect(Math.abs(loss - golden[side].loss) / golden[side].loss).toBeLessThan(tolerance)
    if (side === 'right') expectGradients(gradients, golden.gradients, toleranceOf(golden.right.hiddenStates))
    else for (const gradient of gradients.values()) gradient.dispose()
  })

  it('generates the same tokens', async () => {
    const { inputIds, attentionMask } = padded(true)
    const options = { maxNewTokens: goldens.newTokens, stopTokens: [] }
    expect(await model.generate({ inputIds, attentionMask }, options)).toEqual(golden.greedy)
    expect(await model.generate({ inputIds: goldens.rows }, options)).toEqual(golden.greedy)
  })

  it.each(golden.ways ?? [])('generates the same tokens with $options', async ({ options, tokens }) => {
    const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null))
    const { stopTokens = [], ...others } = optionsOfFile(said, 'options', 'causal')
    const { inputIds, attentionMask } = padded(true)
    const made = await model.generate(
      { inputIds, attentionMask },
      { maxNewTokens: goldens.newTokens, stopTokens, ...others },
    )
    const ends = tokens.map((row) => row.findIndex((token) => stopTokens.includes(token)))
    expect(made).toEqual(tokens.map((row, i) => (ends[i]! < 0 ? row : row.slice(0, ends[i]! + 1))))
  })

  it('means the same by the config.json that transformers writes', async () => {
    await writeFile(join(folder, 'config.json'), JSON.stringify(golden.config))
    using same = await AutoModelForCausalLM.fromPretrained(folder)
    expect(same.body.config).toEqual(model.body.config)
    using bare = await AutoModel.fromPretrained(folder)
    using outputs = await bare.run({ inputIds: goldens.rows })
    expectSampled(kept(outputs.lastHiddenState, padded(false)), golden.right.hiddenStates.at(-1)!, 'last hidden state')
  })

  it('comes back bit for bit', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
    try {
      await model.savePretrained(copy)
      expect(await readFile(join(copy, 'config.json'), 'utf8')).not.toMatch(/softcapping": \d+,?\n/)
      using loaded = await AutoModelForCausalLM.fromPretrained(copy)
      expect(loaded.body.config).toEqual(model.body.config)
      const parameters = loaded.parameters()
      expect([...parameters.keys()]).toEqual([...model.parameters().keys()])
      for (const [name, parameter] of model.parameters())
        expect(bits(parameters.get(name)!), name).toEqual(bits(parameter))
    } finally {
      await rm(copy, { recursive: true })
    }
  })
})

const classifiers = Object.entries(goldens.cases).flatMap(([name, { classification }]) =>
  classification ? [[name, classification] as const] : [],
)

it.each(classifiers)('%s classifies sequences by their last token', async (_, golden) => {
  const folder = await makeFolder(golden)
  try {
    using model = await AutoModelForSequenceClassification.fromPretrained(folder)
    const { inputIds, attentionMask } = padded(true)
    using outputs = await model.run({ inputIds, attentionMask })
    expect(deviation(outputs.logits!.data(), golden.logits)).toBeLessThan(tolerance)
    const { loss, gradients } = await model.lossAndGradients({ inputIds, attentionMask, labels: [2, 0, 1] })
    expect(Math.abs(loss - golden.loss) / golden.loss).toBeLessThan(tolerance)
    expectGradients(gradients, golden.gradients)
  } finally {
    await rm(folder, { recursive: true })
  }
})

const withHeads = (key: 'tokens' | 'answers') =>
  Object.entries(goldens.cases).flatMap(([name, { [key]: head }]) => (head ? [[name, head] as const] : []))

async function expectHead(
  auto: { fromPretrained(folder: string): Promise<TextModel> },
  golden: HeadCase,
  inputs: ModelInputs & TaskLabels,
): Promise<void> {
  const folder = await makeFolder(golden)
  try {
    using model = await auto.fromPretrained(folder)
    const { inputIds, attentionMask } = inputs
    using outputs = await model.run({ inputIds, attentionMask })
    const mask = attentionMask ?? inputIds.map((row) => row.map(() => 1))
    const scores = kept(outputs.logits!, { inputIds, attentionMask: mask })
    expect(deviation(scores, golden.logits)).toBeLessThan(tolerance)
    const { loss, gradients } = await model.lossAndGradients(inputs)
    expect(Math.abs(loss - golden.loss) / golden.loss).toBeLessThan(tolerance)
    expectGradients(gradients, golden.gradients)
    const copy = join(folder, 'copy')
    await model.savePretrained(copy)
    using again = await auto.fromPretrained(copy)
    expect([...again.parameters().keys()].sort()).toEqual(Object.keys(golden.gradients).sort())
    for (const [name, parameter] of model.parameters())
      expect(bits(again.parameters().get(name)!), name).toEqual(bits(parameter))
  } finally {
    await rm(folder, { recursive: true })
  }
}

it.each(withHeads('tokens'))('%s classifies tokens', async (_, golden) => {
  const { inputIds, attentionMask } = padded(true)
  const labels = inputIds.map((row, i) => row.map((id, j) => (attentionMask![i]![j] ? id % 3 : -100)))
  await expectHead(AutoModelForTokenClassification, golden, { inputIds, attentionMask, labels })
})

it.each(withHeads('answers'))('%s finds answers', async (_, golden) => {
  const inputIds = goldens.rows.map((row) => row.slice(0, 6))
  await expectHead(AutoModelForQuestionAnswering, golden, {
    inputIds,
    startPositions: [2, 0, 4],
    endPositions: [4, 5, 4],
  })
})

it('names the heads that a family has', async () => {
  const folder = await makeFolder(goldens.cases['olmo2']!)
  await expect(AutoModelForQuestionAnswering.fromPretrained(folder)).rejects.toThrow(
    /olmo2 has no head for question-answering; it has causal-lm, sequence-classification, none \(AutoModel\)/,
  )
  await rm(folder, { recursive: true })
})

/** Fields of config.json that change the mathematics, and what the error says. */
const refused: [string, string, Record<string, unknown>, RegExp][] = [
  ['llama', 'a scaling that is not known', { rope_scaling: { type: 'ntk', factor: 2 } }, /rope_scaling\.type "ntk" is not/],
  ['llama', 'a key of rotary positions', { rope_parameters: { mrope_section: [4, 4] } }, /rope_parameters\.mrope_section/],
  ['llama', 'a scaling without its factor', { rope_scaling: { type: 'linear' } }, /rope_scaling\.factor should be a number/],
  ['llama', 'divisors of other lengths', { rope_scaling: { type: 'longrope', short_factor: [1], long_factor: [1] } }, /shortFactor should be 8 numbers/],
  ['llama', 'a part of each head', { partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
  ['llama', 'a window', { sliding_window: 4 }, /sliding_window 4 is not supported/],
  ['mistral', 'a window that is no number', { sliding_window: 'wide' }, /sliding_window should be a whole number/],
  ['qwen2', 'layers of another type', { layer_types: ['full_attention', 'linear_attention'] }, /layer_types "linear_attention"/],
  ['qwen2', 'windows without a width', { layer_types: ['full_attention', 'sliding_attention'] }, /there is no sliding_window/],
  ['gemma2', 'tokens that see what follows', { use_bidirectional_attention: true }, /use_bidirectional_attention true/],
  ['gemma3', 'a cap that transformers leaves out', { attn_logit_softcapping: 50 }, /attn_logit_softcapping 50/],
  ['gemma3', 'another scaling of local layers', { rope_scaling: null, rope_parameters: { sliding_attention: { rope_type: 'linear', factor: 2 } } }, /sliding_attention\.rope_type/],
  ['phi3', 'a scaling of others', { rope_scaling: { type: 'linear', factor: 2 } }, /rope_scaling\.type "linear" is not supported; supported: default, longrope/],
  ['olmo2', 'clipped projections', { clip_qkv: 8 }, /clip_qkv 8/],
  ['gpt-neox', 'heads of another activation', { hidden_act: 'snake' }, /hidden_act "snake"/],
  ['mixtral', 'a loss of the router', { output_router_logits: true }, /output_router_logits true/],
  ['qwen3-moe', 'layers that are none', { decoder_sparse_step: 0 }, /decoder_sparse_step should be/],
] // prettier-ignore

it.each(refused)('%s refuses %s by name', async (name, _, change, message) => {
  const { given, tensors } = goldens.cases[name]!
  const folder = await makeFolder({ config: { ...given, ...change }, tensors })
  await expect(AutoModelForCausalLM.fromPretrained(folder)).rejects.toThrow(message)
  await rm(folder, { recursive: true })
})

describe('windows and padding', () => {
  it('leaves padding out wherever it stands, at the positions of its columns', async () => {
    const folder = await makeFolder(goldens.cases['llama']!)
    using model = await AutoModelForCausalLM.fromPretrained(folder)
    using gap = await model.run({ inputIds: [[5, 0, 17, 42]], attentionMask: [[1, 0, 1, 1]] })
    using whole = await model.run({ inputIds: [[5, 17, 42]] })
    const rows = (gap.logits!.toArray() as number[][][])[0]!
    expect(rows[1]!.every((value) => value === 0)).toBe(true)
    // Its distances differ from those of a row without the gap.
    expect(deviation(rows[3]!, (whole.logits!.toArray() as number[][][])[0]![2]!)).toBeGreaterThan(1e-3)
    await rm(folder, { recursive: true })
  })

  it('counts a window by columns, and refuses to train on rows with gaps together', async () => {
    const folder = await makeFolder(goldens.cases['mistral']!)
    using model = await AutoModelForCausalLM.fromPretrained(folder)
    const gaps = {
      inputIds: [[5, 0, 17, 42, 8, 9], [5, 1, 17, 42, 8, 9]],
      attentionMask: [[1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
    } // prettier-ignore
    using outputs = await model.run(gaps, { outputAttentions: [1] })
    using alone = await model.run({ inputIds: gaps.inputIds.slice(1) })
    const rows = outputs.logits!.toArray() as number[][][]
    expect(deviation(rows[1]!.flat(), alone.logits!.data())).toBeLessThan(1e-6)
    // The window is of four tokens: the fifth sees the columns 1 … 4, of which the first is a gap.
    const weights = (outputs.attentions![0]!.toArray() as number[][][][])[0]![0]!
    expect(weights[4]!.map((weight) => weight > 0)).toEqual([false, false, true, true, true, false])
    await expect(model.lossAndGradients({ ...gaps, labels: gaps.inputIds })).rejects.toThrow(/one row at a time only/)
    const [first] = gaps.inputIds
    const { gradients } = await model.lossAndGradients({
      inputIds: [first!],
      attentionMask: [gaps.attentionMask[0]!],
      labels: [first!],
    })
    for (const gradient of gradients.values()) gradient.dispose()
    for (const outputAttentions of [[2], [], [0.5], 'all', [-1]] as never[])
      await expect(model.run(gaps, { outputAttentions })).rejects.toThrow(/numbers of layers from 0 to 1/)
    await rm(folder, { recursive: true })
  })
})

describe('generate', () => {
  it('ends rows with the tokens that config.json names, and with those it is told', async () => {
    const { given, tensors, greedy } = goldens.cases['llama']!
    const [first, second] = greedy[0]!
    const folder = await makeFolder({ config: { ...given, eos_token_id: [second, 60] }, tensors })
    using model = await AutoModelForCausalLM.fromPretrained(folder)
    expect(first).not.toBe(second)
    const inputs = { inputIds: goldens.rows.slice(0, 1) }
    expect(await model.generate(inputs, { maxNewTokens: 8 })).toEqual([[first, second]])
    expect(await model.generate(inputs, { maxNewTokens: 8, stopTokens: [first!] })).toEqual([[first]])
    expect(await model.generate(inputs, { maxNewTokens: 0 })).toEqual([[]])
    const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
    await model.savePretrained(copy)
    using again = await AutoModelForCausalLM.fromPretrained(copy)
    expect(again.eosTokenIds).toEqual([second, 60])
    for (const made of [folder, copy]) await rm(made, { recursive: true })
  })

  it('complains', async () => {
    const folder = await makeFolder(goldens.cases['llama']!)
    using model = await AutoModelForCausalLM.fromPretrained(folder)
    const of = (inputs: unknown, options?: unknown) => model.generate(inputs as never, options as never)
    await expect(of({ inputIds: [[]] })).rejects.toThrow(/generate: row 0 has no tokens/)
    await expect(of({ inputIds: [[1]], masks: [] })).rejects.toThrow(/generate: unknown option "masks"/)
    await expect(of({ inputIds: [[1]] }, { maxNewTokens: -1 })).rejects.toThrow(/generate: maxNewTokens should be/)
    await expect(of({ inputIds: [[1]] }, { stopTokens: 3 })).rejects.toThrow(/generate: stopTokens should be an array/)
    await expect(of({ inputIds: [[61]] })).rejects.toThrow(/token ids should be from 0 to 60, got 61/)
    await expect(of({ inputIds: [[1]] }, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/)
    await rm(folder, { recursive: true })
  })
})
