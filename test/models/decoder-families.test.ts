import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { AutoModelForCausalLM, type CausalLM } from '../../lib/generate/causal-lm.ts'
import { AutoModel, AutoModelForSequenceClassification } from '../../lib/models/auto.ts'
import type { ModelInputs } from '../../lib/models/model-inputs.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { deviation, norm } from '../reference/deviation.ts'
import { weightValues } from '../reference/weight-values.ts'
import { bits } from './reference-suite.ts'

/** What make-decoders.py keeps of a tensor: every so many numbers. */
interface Sampled {
  l2: number
  sum: number
  step: number
  samples: number[]
}
interface Side {
  loss: number
  logits: Sampled
  hiddenStates: Sampled[]
}
interface Files {
  config: Record<string, unknown>
  tensors: Record<string, number[]>
}
interface Case extends Files {
  given: Record<string, unknown>
  right: Side
  left: Side
  gradients: Record<string, Sampled>
  greedy: number[][]
  classification?: Files & { loss: number; logits: number[][]; gradients: Record<string, Sampled> }
}
interface Goldens {
  rows: number[][]
  newTokens: number
  cases: Record<string, Case>
}

const goldens = JSON.parse(
  gunzipSync(readFileSync(new URL('../reference/decoders.json.gz', import.meta.url))).toString(),
) as Goldens
const width = Math.max(...goldens.rows.map((row) => row.length))

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6
/** They add up over layers: the model with seven of them (four norms each) is off by up to 8e-6. */
const toleranceOf = (states: readonly unknown[]): number => (states.length > 4 ? 2 : 1) * tolerance

/** A model folder with the weights of the rule. */
async function makeFolder({ config, tensors }: Files): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  const weights = Object.entries(tensors).map(([name, shape]): [string, Tensor] => [
    name,
    fromData(weightValues(name, shape), { shape }),
  ])
  await writeSafetensors(join(folder, 'model.safetensors'), weights, { format: 'pt' })
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  for (const [, weight] of weights) weight.dispose()
  return folder
}

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
    expectSampled(gradients.get(name)!.data(), sampled, name, bound)
  for (const gradient of gradients.values()) gradient.dispose()
}

/** Rows [batch, width, size] at tokens that are no padding. */
const kept = (tensor: Tensor, { attentionMask }: ModelInputs): number[] =>
  (tensor.toArray() as number[][][]).flatMap((row, i) => row.filter((_, j) => attentionMask![i]![j] === 1)).flat()

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
    using outputs = await model.run(inputs, { outputHiddenStates: true })
    expectSampled(kept(outputs.logits!, inputs), golden[side].logits, 'logits')
    expect(outputs.hiddenStates!.length).toBe(golden[side].hiddenStates.length)
    outputs.hiddenStates!.forEach((state, i) =>
      expectSampled(kept(state, inputs), golden[side].hiddenStates[i]!, `hidden state ${i}`),
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
    expect(deviation(outputs.logits!.data(), golden.logits.flat())).toBeLessThan(tolerance)
    const { loss, gradients } = await model.lossAndGradients({ inputIds, attentionMask, labels: [2, 0, 1] })
    expect(Math.abs(loss - golden.loss) / golden.loss).toBeLessThan(tolerance)
    expectGradients(gradients, golden.gradients)
  } finally {
    await rm(folder, { recursive: true })
  }
})
