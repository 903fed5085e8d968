import { describe, expect, it } from 'vitest'
import { ArgumentError, ShapeError } from '../../lib/errors.ts'
import { compile } from '../../lib/graph/compile.ts'
import { DropoutSource, FeedForward, MultiHeadAttention, TransformerEncoder } from '../../lib/nn/index.ts'
import { dropWith } from '../../lib/nn/dropout.ts'
import { grad } from '../../lib/ops/gradients.ts'
import { multiply, sum } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

const source = (seed: number): DropoutSource => new DropoutSource(tensor(seed, { dtype: 'i32' }))
const ones = tensor.ones([100, 100])

describe('a source of dropouts', () => {
  it('drops the share that is said and scales the rest', () => {
    const y = source(1).drop(ones, 0.3).data()
    const dropped = y.filter((value) => value === 0).length
    // Binomial: mean 3,000, standard deviation 46.
    expect(Math.abs(dropped - 3000)).toBeLessThan(230)
    expect(new Set(y)).toEqual(new Set([0, Math.fround(1 / (1 - 0.3))]))
  })

  it('gives every dropout of a pass a mask of its own, the same for the same seed', () => {
    const masks = (seed: number): string[] => {
      const dropout = source(seed)
      return [0, 1, 2].map(() => dropout.drop(ones, 0.5).data().join())
    }
    expect(masks(1)).toEqual(masks(1))
    expect(new Set([...masks(1), ...masks(2)]).size).toBe(6)
  })

  it('masks the gradient as it masks the value', () => {
    const y = source(3).drop(ones, 0.5)
    const gradient = grad(() => sum(source(3).drop(ones, 0.5)), { ones })({})
    expect(gradient.ones.data()).toEqual(y.data())
  })

  it('takes a seed that is an input of the program', () => {
    using program = compile(({ seed }: { seed: Tensor }) => new DropoutSource(seed).drop(ones, 0.5))
    const run = (seed: number): Float32Array =>
      program.runSync({ seed: Int32Array.of(seed) as never }).data() as Float32Array
    expect(() => run(1)).toThrow(ShapeError)
    using scalar = tensor(1, { dtype: 'i32' })
    expect(program.runSync({ seed: scalar }).data()).toEqual(source(1).drop(ones, 0.5).data())
    scalar.copyFrom([2])
    expect(program.runSync({ seed: scalar }).data()).toEqual(source(2).drop(ones, 0.5).data())
  })

  it('drops nothing where the probability is 0 or there is no source', () => {
    expect(dropWith(ones, 0.5, {})).toBe(ones)
    expect(dropWith(ones, 0, { dropout: source(1) })).toBe(ones)
    expect(() => source(1).drop(ones, 1)).toThrow(ArgumentError)
  })
})

describe('layers', () => {
  const x = tensor.randn([2, 5, 8], { seed: 1 })
  const options = { dim: 8, heads: 2, ffn: 16, layers: 2 }
  const make: [string, (dropout: number) => { forward(x: Tensor, options?: object): Tensor }][] = [
    ['FeedForward', (dropout) => new FeedForward({ dim: 8, dropout, random: new Random(1) })],
    ['MultiHeadAttention', (dropout) => new MultiHeadAttention({ dim: 8, heads: 2, dropout, random: new Random(1) })],
    ['TransformerEncoder', (dropout) => new TransformerEncoder({ ...options, dropout, random: new Random(1) })],
  ]

  it.each(make)('%s drops with a source only: without one it infers', (_, layer) => {
    const expected = layer(0).forward(x).data()
    expect(
      layer(0)
        .forward(x, { dropout: source(1) })
        .data(),
    ).toEqual(expected)
    expect(layer(0.4).forward(x).data()).toEqual(expected)
    const dropped = layer(0.4)
      .forward(x, { dropout: source(1) })
      .data()
    expect(dropped).not.toEqual(expected)
    expect(
      layer(0.4)
        .forward(x, { dropout: source(1) })
        .data(),
    ).toEqual(dropped)
    expect(
      layer(0.4)
        .forward(x, { dropout: source(2) })
        .data(),
    ).not.toEqual(dropped)
  })

  it('of a stack drop different elements', () => {
    let calls = 0
    class Counting extends DropoutSource {
      override drop(x: Tensor, probability: number): Tensor {
        calls++
        return multiply(super.drop(x, probability), 1)
      }
    }
    new TransformerEncoder({ ...options, dropout: 0.1 }).forward(x, {
      dropout: new Counting(tensor(1, { dtype: 'i32' })),
    })
    // The attention's result, the activation and the feed-forward's result of each of two layers.
    expect(calls).toBe(6)
  })
})
