import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { constantRate, warmupCosine } from '../../lib/train/schedule.ts'

const rates = (schedule: (step: number, steps: number) => number, steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => schedule(i + 1, steps))

describe('warmupCosine', () => {
  it('rises in a line, then falls by half a cosine to the end', () => {
    const expected = [0.25, 0.5, 0.75, 1, 1, 0.55 + 0.45 * Math.SQRT1_2, 0.55, 0.55 - 0.45 * Math.SQRT1_2, 0.1]
    rates(warmupCosine({ peak: 1, warmup: 4 }), 9).forEach((rate, i) => expect(rate).toBeCloseTo(expected[i]!, 14))
  })

  it('ends at `final`, and stays there', () => {
    const schedule = warmupCosine({ peak: 3e-4, final: 1e-5 })
    expect(schedule(1, 100)).toBe(3e-4)
    expect(schedule(100, 100)).toBeCloseTo(1e-5, 18)
    expect(schedule(170, 100)).toBeCloseTo(1e-5, 18)
  })

  it('gives numbers for the shortest trainings', () => {
    expect(rates(warmupCosine({ peak: 1 }), 1)).toEqual([1])
    expect(rates(warmupCosine({ peak: 1, warmup: 3 }), 3)).toEqual([1 / 3, 2 / 3, 1])
  })

  it.each([{ peak: -1 }, { peak: NaN }, { peak: 1, warmup: 1.5 }, { peak: 1, final: -1 }, { peak: 1, warmUp: 3 }, {}])(
    'refuses %j',
    (options) => expect(() => warmupCosine(options as never)).toThrow(ArgumentError),
  )
})

describe('constantRate', () => {
  it('is the same at every step', () => expect(rates(constantRate(0.3), 3)).toEqual([0.3, 0.3, 0.3]))
  it('refuses what is no rate', () => expect(() => constantRate(-1)).toThrow(ArgumentError))
})
