import { describe, expect, it } from 'vitest'
import { compile } from '../../lib/graph/compile.ts'
import { packBatch } from '../../lib/models/model-inputs.ts'
import { answers, sequenceScores, splitLabels, tokenClasses } from '../../lib/models/objectives.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'

const inputs = {
  inputIds: [
    [0, 3, 4, 5],
    [6, 7, 0, 8],
    [9, 1, 2, 3],
  ],
  attentionMask: [
    [0, 1, 1, 1],
    [1, 1, 0, 1],
    [1, 1, 1, 1],
  ],
}
const batch = packBatch('test', inputs)
const offsets = Int32Array.of(0, 3, 6, 10, 10)
const results = Int32Array.of(0, 1, 2, 3, 4)

describe('answers', () => {
  it('are the mean cross-entropy of starts and ends, each among the tokens of its sequence', () => {
    const targets = answers.targets('test', { startPositions: [1, 3, 0], endPositions: [3, 3, 2] }, inputs, batch)
    using logits = tensor.randn([10, 2], { seed: 3 })
    const z = logits.toArray() as number[][]
    const expected = z.map(() => [0, 0])
    let loss = 0
    const rows = [
      [0, 1, 2],
      [3, 4, 5],
      [6, 7, 8, 9],
    ]
    const ends = [
      [0, 2],
      [5, 5],
      [6, 8],
    ]
    rows.forEach((sequence, i) => {
      for (const side of [0, 1] as const) {
        const target = ends[i]![side]!
        const sum = sequence.reduce((total, row) => total + Math.exp(z[row]![side]!), 0)
        loss -= (z[target]![side]! - Math.log(sum)) / 6
        for (const row of sequence)
          expected[row]![side] = (Math.exp(z[row]![side]!) / sum - (row === target ? 1 : 0)) / 6
      }
    })
    const { value, grads } = gradientOf(logits, (x, t) => answers.loss(x, t as never, t as never), {
      ...targets,
      offsets,
      results,
    })
    expect(deviation([value.item()], [loss])).toBeLessThan(1e-6)
    expect(deviation(grads.data(), expected.flat())).toBeLessThan(1e-6)
    value.dispose()
    grads.dispose()
  })

  it.each([
    [
      { startPositions: [0, 0, 0], endPositions: [1, 0, 0] },
      /startPositions\[0\] should be the column of a token of row 0, got 0/,
    ],
    [
      { startPositions: [1, 2, 0], endPositions: [1, 0, 0] },
      /startPositions\[1\] should be the column of a token of row 1/,
    ],
    [{ startPositions: [1, 0, 0], endPositions: [1, 0, 4] }, /endPositions\[2\] should be the column/],
    [{ startPositions: [1, 0], endPositions: [1, 0, 0] }, /startPositions should be 3 whole numbers/],
    [{ startPositions: [1, 0, 0] }, /endPositions should be 3 whole numbers, got undefined/],
  ])('refuse %j', (labels, message) => expect(() => answers.targets('test', labels, inputs, batch)).toThrow(message))
})

describe('scores', () => {
  it('are off by the mean square', () => {
    const targets = sequenceScores.targets('test', { labels: [1, -0.5, 2] }, inputs, batch)
    using logits = tensor([[0.5], [0.25], [3], [77]])
    const { value, grads } = gradientOf(logits, (x, t) => sequenceScores.loss(x, t as never, t as never), {
      ...targets,
      offsets,
      results,
    })
    expect(value.item()).toBeCloseTo((0.25 + 0.5625 + 1) / 3, 6)
    expect(deviation(grads.data(), [-1 / 3, 0.5, 2 / 3, 0])).toBeLessThan(1e-6)
    value.dispose()
    grads.dispose()
  })
})

function gradientOf(
  logits: Tensor,
  loss: (x: Tensor, targets: Record<string, Tensor>) => Tensor,
  given: Record<string, Int32Array | Float32Array>,
): { value: Tensor; grads: Tensor } {
  using program = compile((inputs: Record<string, Tensor>) =>
    valueAndGrad((all: typeof inputs) => loss(logits, all), logits)(inputs),
  )
  return program.runSync(given) as never
}

describe('labels', () => {
  it('of tokens follow what is left of their rows', () =>
    expect([...tokenClasses.targets('test', { labels: inputs.inputIds }, inputs, batch).targets]).toEqual([
      3, 4, 5, 6, 7, 8, 9, 1, 2, 3,
    ]))
  it('of another task are refused', () =>
    expect(() => splitLabels('test', { ...inputs, labels: [1, 2, 3] }, answers.labels)).toThrow(
      'labels is not for this task, which is trained on startPositions and endPositions',
    ))
})
