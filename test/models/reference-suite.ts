import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AutoModelForCausalLM } from '../../lib/generate/causal-lm.ts'
import { Decoding } from '../../lib/generate/decoding.ts'
import { generate } from '../../lib/generate/generate.ts'
import { compile } from '../../lib/graph/compile.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { loadDecoder, saveDecoder, toCheckpointNames } from '../../lib/models/pretrained.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { adamW } from '../../lib/train/adamw.ts'
import { trainingStep } from '../../lib/train/training-step.ts'
import { deviation } from '../reference/deviation.ts'
import { expectSummary, type Summary } from '../reference/summary.ts'

interface Expected {
  inputs: { input_ids: number[][]; attention_mask: number[][]; labels: number[][] }
  loss: number
  logits: number[][][]
  gradients: Record<string, Summary>
  grad_norm_first_step: number
  adamw: { losses: number[] }
  generate: { input_ids: number[][]; max_new_tokens: number; greedy: number[][]; beam4: number[][] }
  generate_left_padded: {
    input_ids: number[][]
    attention_mask: number[][]
    max_new_tokens: number
    greedy: number[][]
  }
}

/** f32 arithmetic against f64: some rounding errors of 6e-8 in a row, relative to the largest value. */
const tolerance = 5e-6

export const referenceFolder = (name: string): string =>
  fileURLToPath(new URL(`../reference/models/${name}`, import.meta.url))

/** transformers predicts token t + 1 at t; targets are given where they are predicted. */
const shifted = (labels: number[][]): number[][] => labels.map((row) => [...row.slice(1), -100])

const readExpected = async (folder: string): Promise<Expected> =>
  JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8')) as Expected

async function greedy(model: DecoderModel, prompt: number[], maxNewTokens: number): Promise<number[]> {
  const tokens = [...prompt]
  for await (const token of generate(model, prompt, { maxNewTokens, temperature: 0 })) tokens.push(token)
  return tokens
}

/** Everything that transformers computed for a model, against the same by this package. */
export function describeReference(name: string): void {
  describe(name, () => {
    const folder = referenceFolder(name)
    let expected: Expected
    let model: DecoderModel
    let tokens: Tensor<'i32'>
    let targets: Tensor<'i32'>
    beforeAll(async () => {
      expected = await readExpected(folder)
      model = await loadDecoder(folder)
      tokens = tensor(expected.inputs.input_ids, { dtype: 'i32' })
      targets = tensor(shifted(expected.inputs.labels), { dtype: 'i32' })
    })
    afterAll(() => {
      for (const held of [model, tokens, targets]) held.dispose()
    })

    /** Logits of one sequence by a full forward pass, [length][vocabSize]. */
    const forward = (sequence: number[]): number[][] => {
      using program = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
      using input = tensor([sequence], { dtype: 'i32' })
      using logits = program.runSync({ tokens: input })
      return (logits.toArray() as number[][][])[0]!
    }

    it('gives the logits of every position that is no padding', () => {
      using program = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
      using logits = program.runSync({ tokens })
      const rows = (logits.toArray() as number[][][]).flat()
      const counts = expected.inputs.attention_mask.flat()
      const seen = (all: number[][]): number[] => all.filter((_, i) => counts[i] === 1).flat()
      expect(deviation(seen(rows), seen(expected.logits.flat()))).toBeLessThan(tolerance)
    })

    it('gives the loss and the gradient of every parameter', () => {
      const { value, grads } = valueAndGrad(
        (inputs: { tokens: Tensor; targets: Tensor }) => model.loss(inputs),
        model.parameters(),
      )({ tokens, targets })
      expect(deviation([value.item()], [expected.loss])).toBeLessThan(tolerance)
      const named = toCheckpointNames(model, grads)
      expect([...named.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
      for (const [parameter, summary] of Object.entries(expected.gradients))
        expectSummary(named.get(parameter)!.data(), summary, tolerance, parameter)
      for (const held of [value, ...grads.values(), ...named.values()]) held.dispose()
    })

    it('trains as torch.optim.AdamW with clipping does', async () => {
      using trained = await loadDecoder(folder)
      const parameters = trained.parameters()
      using optimizer = adamW({ weightDecay: 0.01, decayVectors: true })(parameters)
      using step = trainingStep({
        parameters,
        optimizer,
        clipNorm: 1,
        loss: (batch: { tokens: Tensor; targets: Tensor }) => trained.loss(batch),
      })
      const losses: number[] = []
      for (let count = 1; count <= 4; count++) {
        const { loss, gradNorm } = await step.run({
          batch: { tokens, targets },
          learningRate: 1e-2,
          step: Int32Array.of(count),
          seed: Int32Array.of(0),
        })
        losses.push(loss.item())
        if (count === 1) expect(deviation([gradNorm.item()], [expected.grad_norm_first_step])).toBeLessThan(tolerance)
        loss.dispose()
        gradNorm.dispose()
      }
      expect(deviation(losses, expected.adamw.losses)).toBeLessThan(tolerance)
    })

    it('generates the same tokens', async () => {
      const { input_ids, max_new_tokens, greedy: sequences } = expected.generate
      for (const [i, prompt] of input_ids.entries())
        expect(await greedy(model, prompt, max_new_tokens)).toEqual(sequences[i])
    })

    it('finds the same tokens by four beams', async () => {
      const { input_ids: inputIds, max_new_tokens: maxNewTokens, beam4 } = expected.generate
      using lm = await AutoModelForCausalLM.fromPretrained(folder)
      const made = await lm.generate({ inputIds }, { maxNewTokens, numBeams: 4 })
      expect(made.map((row, i) => [...inputIds[i]!, ...row])).toEqual(beam4)
    })

    it('generates the same tokens as a batch with padding on the left', async () => {
      const { input_ids, attention_mask, max_new_tokens, greedy: sequences } = expected.generate_left_padded
      for (const [i, padded] of input_ids.entries()) {
        const padding = attention_mask[i]!.indexOf(1)
        expect(await greedy(model, padded.slice(padding), max_new_tokens)).toEqual(sequences[i]!.slice(padding))
      }
    })

    it.each([[[1, 1, 1, 1, 1, 1, 1, 1, 1]], [[4, 3, 2]], [[9]], [[1, 7, 1]]])(
      'gives the same logits with a cache, by pieces of %j tokens',
      async (pieces) => {
        const sequence = expected.inputs.input_ids[0]!
        const whole = forward(sequence)
        using decoding = new Decoding(model)
        let end = 0
        for (const piece of pieces) {
          const [logits] = await decoding.append([sequence.slice(end, end + piece)])
          end += piece
          expect(deviation(logits!, whole[end - 1]!)).toBeLessThan(tolerance)
        }
        expect(decoding.lengths).toEqual([sequence.length])
      },
    )

    it('is the same, bit for bit, after saving and loading', async () => {
      const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
      try {
        await saveDecoder(model, copy)
        using loaded = await loadDecoder(copy)
        expect(loaded.config).toEqual(model.config)
        const parameters = loaded.parameters()
        for (const [path, parameter] of model.parameters())
          expect(bits(parameters.get(path)!), path).toEqual(bits(parameter))
      } finally {
        await rm(copy, { recursive: true })
      }
    })
  })
}

export const bits = (values: Tensor): Int32Array => new Int32Array(values.data().buffer.slice(0))
