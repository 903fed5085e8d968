import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

const draw = (n: number, next: () => number): number[] => Array.from({ length: n }, next)
const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length
const moment = (values: ArrayLike<number>, power: number): number => mean(Array.from(values, (value) => value ** power))

describe('Random', () => {
  it('is xoshiro128**', () => {
    const random = new Random(0)
    random.state = [1, 2, 3, 4]
    // As the reference implementation gives them (Blackman & Vigna, xoshiro128starstar.c).
    expect(draw(6, () => random.uint32())).toEqual([11520, 0, 5927040, 70819200, 2031721883, 1637235492])
  })

  it('gives the same numbers for the same seed, others for others', () => {
    const first = (seed: number): string => draw(4, () => new Random(seed).uint32()).join()
    expect(first(7)).toBe(first(7))
    const seeds = [0, 1, 2, 3, 2 ** 31, 2 ** 32 - 1, 2 ** 40 + 12_345]
    expect(new Set(seeds.map(first)).size).toBe(seeds.length)
  })

  it('goes on where its state was taken, through JSON', () => {
    const random = new Random(5)
    draw(10, () => random.normal())
    const state = JSON.parse(JSON.stringify(random.state)) as number[]
    const expected = draw(10, () => random.normal())
    const other = new Random(6)
    other.state = state
    expect(draw(10, () => other.normal())).toEqual(expected)
  })

  // Standard errors of n numbers; limits are 3 of them: the seeds are fixed.
  const n = 100_000
  const limit = (variance: number): number => 3 * Math.sqrt(variance / n)

  it('is uniform in [0, 1)', () => {
    const random = new Random(1)
    const values = draw(n, () => random.uniform())
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true)
    expect(Math.abs(mean(values) - 1 / 2)).toBeLessThan(limit(1 / 12))
    const counts = new Array<number>(10).fill(0)
    for (const value of values) counts[Math.floor(value * 10)]!++
    for (const count of counts) expect(Math.abs(count / n - 0.1)).toBeLessThan(limit(0.09))
    const pairs = values.slice(1).map((value, i) => (value - 0.5) * (values[i]! - 0.5))
    expect(Math.abs(mean(pairs))).toBeLessThan(limit(1 / 144))
  })

  it('is standard normal', () => {
    const random = new Random(2)
    const values = draw(n, () => random.normal())
    expect(Math.abs(mean(values))).toBeLessThan(limit(1))
    expect(Math.abs(moment(values, 2) - 1)).toBeLessThan(limit(2))
    expect(Math.abs(moment(values, 3))).toBeLessThan(limit(15))
    expect(Math.abs(moment(values, 4) - 3)).toBeLessThan(limit(96))
    expect(values.every(Number.isFinite)).toBe(true)
  })

  it('gives every whole number below n equally often', () => {
    const random = new Random(3)
    const counts = new Array<number>(7).fill(0)
    for (let i = 0; i < n; i++) counts[random.integer(7)]!++
    for (const count of counts) expect(Math.abs(count / n - 1 / 7)).toBeLessThan(limit(6 / 49))
  })
})

describe.each(['rand', 'randn'] as const)('tensor.%s', (name) => {
  const make = (options?: object): Tensor => tensor[name]([50, 40], options)
  it('gives the same numbers for the same seed', () => {
    expect(make({ seed: 3 }).data()).toEqual(make({ seed: 3 }).data())
    expect(make({ seed: 3 }).data()).not.toEqual(make({ seed: 4 }).data())
    expect(make({ seed: 3, dtype: 'f64' }).data()).not.toEqual(make({ seed: 4, dtype: 'f64' }).data())
    expect(Float32Array.from(make({ seed: 3, dtype: 'f64' }).data())).toEqual(make({ seed: 3 }).data())
  })
  it('gives others at each call without one', () => {
    expect(make().data()).not.toEqual(make().data())
  })
  it('refuses seeds that are none', () => {
    for (const seed of [-1, 0.5, NaN, '1', 2 ** 60]) expect(() => make({ seed })).toThrow(ArgumentError)
  })
})

describe('tensor.rand', () => {
  it('is uniform between low and high', () => {
    const values = tensor.rand([100, 100], { seed: 1, low: -3, high: 5 }).data()
    expect(values.every((value) => value >= -3 && value < 5)).toBe(true)
    expect(Math.abs(mean(values) - 1)).toBeLessThan(5 * Math.sqrt(64 / 12 / 10_000))
    expect([...tensor.rand([3], { low: 2, high: 2 }).data()]).toEqual([2, 2, 2])
  })
  it('refuses limits that are none', () => {
    for (const limits of [{ low: 2 }, { low: 1, high: 0 }, { high: NaN }, { low: -Infinity }, { hihg: 1 }])
      expect(() => tensor.rand([2], limits as never), JSON.stringify(limits)).toThrow(ArgumentError)
  })
})
