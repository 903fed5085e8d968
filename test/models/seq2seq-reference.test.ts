import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile } from '../../lib/graph/compile.ts'
import { AutoModelForSeq2SeqLM, type Seq2SeqLM } from '../../lib/generate/seq2seq-lm.ts'
import { AutoModel } from '../../lib/models/auto.ts'
import type { EncoderDecoderForTask } from '../../lib/models/encoder-decoder-for-task.ts'
import { clipScale, globalNorm, reshape } from '../../lib/ops/index.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { adamW } from '../../lib/train/adamw.ts'
import { deviation } from '../reference/deviation.ts'
import { expectGradients, type Summary } from '../reference/summary.ts'
import { bits, referenceFolder } from './reference-suite.ts'

interface Expected {
  inputs: { input_ids: number[][]; attention_mask: number[][]; labels: number[][] }
  loss: number
  logits: number[][][]
  encoder_last_hidden_state: number[][][]
  gradients: Record<string, Summary>
  grad_norm_first_step: number
  adamw: { losses: number[] }
  /** With the target's first token. */
  generate: {
    input_ids: number[][]
    max_new_tokens: number
    greedy: number[][]
    beam4: number[][]
    repetition_penalty_1_5: number[][]
    no_repeat_ngram_2: number[][]
  }
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6
/** Gradients of T5, whose scores are not scaled: in f32, torch itself is off by 8.5e-6 at t5-relu-tied. */
const gradientTolerance = 2e-5

describe.each(['t5-relu-tied', 'bart'])('%s: what transformers computed', (name) => {
  const folder = referenceFolder(name)
  let expected: Expected
  let model: Seq2SeqLM
  let inputs: { inputIds: number[][]; attentionMask: number[][]; labels: number[][] }
  beforeAll(async () => {
    expected = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8')) as Expected
    const { input_ids: inputIds, attention_mask: attentionMask, labels } = expected.inputs
    inputs = { inputIds, attentionMask, labels }
    model = await AutoModelForSeq2SeqLM.fromPretrained(folder)
  })
  afterAll(() => model.dispose())

  const lengths = (): number[] => expected.inputs.attention_mask.map((row) => row.filter((value) => value === 1).length)
  /** Rows of source tokens that are no padding. */
  const seen = (rows: number[][][]): number[] => rows.flatMap((row, i) => row.slice(0, lengths()[i])).flat()

  it('gives the logits and hidden states', async () => {
    using outputs = await model.run(inputs, { outputHiddenStates: true })
    const { numLayers, numDecoderLayers } = model.body.config
    expect(outputs.encoderHiddenStates!.length).toBe(numLayers + 1)
    expect(outputs.decoderHiddenStates!.length).toBe(numDecoderLayers + 1)
    expect(deviation(outputs.logits!.data(), expected.logits.flat(2))).toBeLessThan(tolerance)
    const memory = outputs.encoderLastHiddenState.toArray() as number[][][]
    expect(deviation(seen(memory), seen(expected.encoder_last_hidden_state))).toBeLessThan(tolerance)
    using bare = await AutoModel.fromPretrained<EncoderDecoderForTask>(folder)
    using alone = await bare.run(inputs)
    expect(alone.logits).toBeUndefined()
    const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
    await bare.savePretrained(copy)
    using loaded = await AutoModel.fromPretrained<EncoderDecoderForTask>(copy)
    await rm(copy, { recursive: true })
    expect([...loaded.parameters().keys()]).toEqual([...bare.parameters().keys()])
    expect(alone.lastHiddenState.toArray()).toEqual(outputs.lastHiddenState.toArray())
  })

  it('gives the same for ragged rows as for padded ones, and alone as in a batch', async () => {
    using padded = await model.run(inputs)
    const inputIds = inputs.inputIds.map((row, i) => row.slice(0, lengths()[i]))
    using ragged = await model.run({ inputIds, labels: inputs.labels })
    expect(ragged.logits!.toArray()).toEqual(padded.logits!.toArray())
    const last = inputIds.length - 1
    using alone = await model.run({ inputIds: inputIds.slice(last), labels: inputs.labels.slice(last) })
    const rows = padded.logits!.toArray() as number[][][]
    expect(deviation(alone.logits!.data(), rows[last]!.flat())).toBeLessThan(tolerance)
  })

  it('gives the loss and the gradient of every parameter', async () => {
    const { loss, gradients } = await model.lossAndGradients(inputs)
    expect(deviation([loss], [expected.loss])).toBeLessThan(tolerance)
    expect([...gradients.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expect([...model.parameters().keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
    expectGradients(gradients, expected.gradients, {
      tolerance: gradientTolerance,
      zero: tolerance,
      isZero: (name) => name.endsWith('k_proj.bias'),
    })
  })

  it('trains as torch.optim.AdamW with clipping does', async () => {
    using trained = await AutoModelForSeq2SeqLM.fromPretrained(folder)
    using optimizer = adamW({ weightDecay: 0.01, decayVectors: true })(trained.parameters())
    using update = compile(
      ({ gradients, ...given }: { gradients: Map<string, Tensor>; learningRate: Tensor; step: Tensor }) => {
        const gradNorm = globalNorm([...gradients.values()])
        const step = reshape(given.step, [])
        optimizer.update(gradients, { ...given, step, gradientScale: clipScale(gradNorm, 1) })
        return gradNorm
      },
    )
    const losses: number[] = []
    for (let step = 1; step <= 4; step++) {
      const { loss, gradients } = await trained.lossAndGradients(inputs)
      losses.push(loss)
      using gradNorm = update.runSync({ gradients, learningRate: 1e-2, step: Int32Array.of(step) })
      if (step === 1) expect(deviation([gradNorm.item()], [expected.grad_norm_first_step])).toBeLessThan(tolerance)
      for (const gradient of gradients.values()) gradient.dispose()
    }
    expect(deviation(losses, expected.adamw.losses)).toBeLessThan(tolerance)
  })

  it.each([
    ['greedy', {}],
    ['beam4', { numBeams: 4 }],
    ['repetition_penalty_1_5', { repetitionPenalty: 1.5 }],
    ['no_repeat_ngram_2', { noRepeatNgramSize: 2 }],
  ] as const)('generates the same tokens: %s', async (way, options) => {
    const { input_ids: inputIds, max_new_tokens: maxNewTokens, [way]: sequences } = expected.generate
    const made = await model.generate({ inputIds }, { maxNewTokens, ...options })
    expect(made).toEqual(sequences.map((sequence) => sequence.slice(1)))
  })

  it('is the same, bit for bit, after saving and loading', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
    try {
      await model.savePretrained(copy)
      using loaded = await AutoModelForSeq2SeqLM.fromPretrained(copy)
      expect(loaded.body.config).toEqual(model.body.config)
      const parameters = loaded.body.parameters()
      for (const [path, parameter] of model.body.parameters())
        expect(bits(parameters.get(path)!), path).toEqual(bits(parameter))
    } finally {
      await rm(copy, { recursive: true })
    }
  })
})
