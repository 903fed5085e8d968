import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Decoding } from '../../lib/generate/decoding.ts'
import { generate } from '../../lib/generate/generate.ts'
import { compile } from '../../lib/graph/compile.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { loadDecoder, toCheckpointNames } from '../../lib/models/pretrained.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { globalNorm } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { adamW } from '../../lib/train/adamw.ts'
import { trainingStep } from '../../lib/train/training-step.ts'

interface Expected {
  inputs: { input_ids: number[][]; attention_mask: number[][]; labels: number[][] }
  loss: number
  logits: number[][][]
  gradients: Record<string, { l2: number; sum: number; first5: number[] }>
  grad_norm_first_step: number
  adamw: { losses: number[] }
  generate: { input_ids: number[][]; max_new_tokens: number; greedy: number[][] }
  generate_left_padded: {
    input_ids: number[][]
    attention_mask: number[][]
    max_new_tokens: number
    greedy: number[][]
  }
}

export const referenceFolder = (name: string): string =>
  fileURLToPath(new URL(`../reference/models/${name}`, import.meta.url))

/** What a decoder has to share with the real library: outputs, gradients, training and generated tokens. */
export function describeReference(name: string): void {
  const folder = referenceFolder(name)
  const expected = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Expected
  const { input_ids: ids, attention_mask: mask, labels } = expected.inputs
  const [batch, length] = [ids.length, ids[0]!.length]
  const tokens = tensor(ids, { dtype: 'i32' })
  // The library predicts token t + 1 at t: its labels are the inputs.
  const targets = tensor(
    labels.map((row) => [...row.slice(1), -100]),
    { dtype: 'i32' },
  )

  describe(name, () => {
    let model: DecoderModel
    beforeAll(async () => {
      model = await loadDecoder(folder)
    })
    afterAll(() => model.dispose())

    test('logits', async () => {
      const forward = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
      const logits = (await forward.run({ tokens })).toArray() as number[][][]
      const scale = Math.max(...expected.logits.flat(2).map(Math.abs))
      let worst = 0
      for (let b = 0; b < batch; b++)
        for (let t = 0; t < length; t++)
          if (mask[b]![t])
            logits[b]![t]!.forEach((x, i) => (worst = Math.max(worst, Math.abs(x - expected.logits[b]![t]![i]!))))
      expect(worst / scale).toBeLessThan(2e-6)
    })

    test('loss and the gradient of every tensor', async () => {
      const parameters = model.parameters()
      const step = compile((inputs: { tokens: Tensor; targets: Tensor }) => {
        const { value, grads } = valueAndGrad((given: typeof inputs) => model.loss(given), parameters)(inputs)
        return { value, grads, norm: globalNorm([...(grads as Map<string, Tensor>).values()]) }
      })
      const { value, grads, norm } = await step.run({ tokens, targets })
      expect(value.item()).toBeCloseTo(expected.loss, 5)
      expect(norm.item()).toBeCloseTo(expected.grad_norm_first_step, 4)
      const named = toCheckpointNames(model, grads as Map<string, Tensor>)
      expect([...named.keys()].sort()).toEqual(Object.keys(expected.gradients).sort())
      for (const [weight, { l2, sum, first5 }] of Object.entries(expected.gradients)) {
        const data = Float64Array.from(named.get(weight)!.data())
        const tolerance = 3e-6 * l2 + 1e-7
        expect(Math.abs(Math.hypot(...data) - l2), `${weight} l2`).toBeLessThan(tolerance)
        const total = data.reduce((a, b) => a + b, 0)
        expect(Math.abs(total - sum), `${weight} sum`).toBeLessThan(tolerance * Math.sqrt(data.length))
        first5.forEach((x, i) => expect(Math.abs(data[i]! - x), `${weight}[${i}]`).toBeLessThan(tolerance))
      }
    })

    test('four steps of AdamW', async () => {
      using trained = await loadDecoder(folder)
      const parameters = trained.parameters()
      const optimizer = adamW({ weightDecay: 0.01, decayVectors: true })(parameters)
      const loss = (given: { tokens: Tensor; targets: Tensor }): Tensor => trained.loss(given)
      using step = trainingStep({ parameters, optimizer, clipNorm: 1, loss })
      for (const [i, want] of expected.adamw.losses.entries()) {
        const { loss: got } = await step.run({
          batch: { tokens, targets },
          learningRate: 1e-2,
          step: Int32Array.of(i + 1),
        })
        expect(got.item()).toBeCloseTo(want, 4)
      }
    })

    test('greedy tokens, with and without padding on the left', async () => {
      const greedy = async (prompt: number[], count: number): Promise<number[]> => {
        const made: number[] = []
        for await (const token of generate(model, prompt, { maxNewTokens: count, temperature: 0 })) made.push(token)
        return made
      }
      for (const { input_ids: prompts, max_new_tokens: count, greedy: want } of [
        expected.generate,
        expected.generate_left_padded,
      ]) {
        const masks = prompts === expected.generate.input_ids ? undefined : expected.generate_left_padded.attention_mask
        for (const [row, prompt] of prompts.entries()) {
          const own = prompt.filter((_, i) => !masks || masks[row]![i])
          const reference = want[row]!.slice(prompt.length)
          const made = await greedy(own, count)
          // The library stops at its end token and fills up with padding.
          const end = reference.findIndex((id) => id === 2)
          const shown = end < 0 ? reference.length : end
          expect(made.slice(0, shown)).toEqual(reference.slice(0, shown))
        }
      }
    })

    test('cached decoding equals the full forward, token by token and in pieces', async () => {
      const row = ids[0]!
      const forward = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
      const full = (await forward.run({ tokens: tensor([row], { dtype: 'i32' }) })).toArray() as number[][][]
      for (const sizes of [row.map(() => 1), [4, 3, 2], [row.length]]) {
        using decoding = new Decoding(model, row.length)
        for (let at = 0, i = 0; at < row.length; i++) {
          const logits = await decoding.append(Int32Array.from(row.slice(at, at + sizes[i]!)))
          at += sizes[i]!
          logits.forEach((x, j) => expect(Math.abs(x - full[0]![at - 1]![j]!)).toBeLessThan(1e-5))
        }
      }
    })
  })
}
