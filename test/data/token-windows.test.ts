import { describe, expect, it } from 'vitest'
import { splitTokens } from '../../lib/data/split.ts'
import { RandomWindows, sequentialWindows } from '../../lib/data/token-windows.ts'
import { ArgumentError } from '../../lib/errors.ts'

/** Tokens that say where they stand. */
const range = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i)

describe('RandomWindows', () => {
  it('gives windows of consecutive tokens and what follows each', () => {
    const { tokens, targets, windows } = new RandomWindows(range(1000), { context: 16, batchSize: 7, seed: 1 }).next()
    expect(windows).toBe(7)
    expect(tokens.length).toBe(7 * 16)
    expect([...targets]).toEqual([...tokens].map((token) => token + 1))
    for (let i = 0; i < tokens.length; i++) expect(tokens[i]).toBe(tokens[i - (i % 16)]! + (i % 16))
  })

  it('starts at every possible place, the first and the last included, equally often', () => {
    const starts = new Array<number>(5).fill(0)
    const { tokens } = new RandomWindows(range(8), { context: 3, batchSize: 50_000, seed: 7 }).next()
    for (let i = 0; i < tokens.length; i += 3) starts[tokens[i]!]!++
    // Each count is binomial with mean 10,000 and standard deviation 89: 5 of them.
    for (const count of starts) expect(Math.abs(count - 10_000)).toBeLessThan(450)
  })

  it('takes a text of exactly context + 1 tokens', () => {
    const { tokens, targets } = new RandomWindows(range(5), { context: 4, batchSize: 2, seed: 0 }).next()
    expect([...tokens]).toEqual([0, 1, 2, 3, 0, 1, 2, 3])
    expect([...targets]).toEqual([1, 2, 3, 4, 1, 2, 3, 4])
  })

  it('gives the same windows for the same seed, others for another', () => {
    const draw = (seed: number) => [
      ...new RandomWindows(range(1000), { context: 2, batchSize: 20, seed }).next().tokens,
    ]
    expect(draw(3)).toEqual(draw(3))
    expect(draw(3)).not.toEqual(draw(4))
  })

  it('goes on where its state was taken, through JSON', () => {
    const options = { context: 4, batchSize: 3 }
    const first = new RandomWindows(range(500), { ...options, seed: 9 })
    first.next()
    const state = JSON.parse(JSON.stringify(first.state)) as number[]
    const expected = [first.next(), first.next()]
    const second = new RandomWindows(range(500), { ...options, seed: 1 })
    second.state = state
    expect([second.next(), second.next()]).toEqual(expected)
  })

  it.each([[[1, 2, 3]], [[0, 0, 0, 0]], [[1, 2, 3, 2 ** 32]], [[1, 2, 3, -1]], [[1, 2, 3, 0.5]], ['1234'], [null]])(
    'refuses the state %j',
    (state) => {
      const windows = new RandomWindows(range(9), { context: 1, batchSize: 1, seed: 0 })
      expect(() => (windows.state = state as never)).toThrow(ArgumentError)
    },
  )
})

describe('sequentialWindows', () => {
  const starts = (n: number, context: number, batchSize: number): number[][] =>
    [...sequentialWindows(range(n), { context, batchSize })].map(({ tokens, targets, windows }) => {
      expect(tokens.length).toBe(windows * context)
      expect([...targets]).toEqual([...tokens].map((token) => token + 1))
      return Array.from({ length: windows }, (_, i) => tokens[i * context]!)
    })

  it('covers the text in order and drops what does not fill a window', () => {
    expect(starts(21, 5, 3)).toEqual([[0, 5, 10], [15]])
    expect(starts(20, 5, 3)).toEqual([[0, 5, 10]])
    expect(starts(6, 5, 3)).toEqual([[0]])
    expect(starts(4, 1, 2)).toEqual([[0, 1], [2]])
  })
})

describe('both', () => {
  const tokens = range(4)
  const make: [string, (context: number, batchSize: number, from?: Int32Array) => unknown][] = [
    ['RandomWindows', (context, batchSize, from = tokens) => new RandomWindows(from, { context, batchSize, seed: 0 })],
    ['sequentialWindows', (context, batchSize, from = tokens) => sequentialWindows(from, { context, batchSize })],
  ]
  it.each(make)('%s refuses a text that is too short, at once', (name, windows) => {
    expect(() => windows(4, 1)).toThrow(
      `${name}: a window of context 4 needs 5 tokens, the text has 4; give more text or a smaller context`,
    )
    expect(() => windows(3, 1)).not.toThrow()
    expect(() => windows(1, 1, range(0))).toThrow(ArgumentError)
  })
  it.each(make)('%s refuses sizes that are none', (_, windows) => {
    for (const size of [0, -1, 1.5, NaN, '2' as never]) {
      expect(() => windows(size, 1)).toThrow(ArgumentError)
      expect(() => windows(1, size)).toThrow(ArgumentError)
    }
    expect(() => windows(1, 1, [1, 2, 3] as never)).toThrow(ArgumentError)
  })
})

describe('splitTokens', () => {
  it('gives the first 90 % and the rest', () => {
    const { train, validation } = splitTokens(range(1_115_394))
    expect([train.length, validation.length]).toEqual([1_003_854, 111_540])
    expect(validation[0]).toBe(1_003_854)
  })
  it('takes any fraction from 0 to 1', () => {
    expect(splitTokens(range(10), 0.25).train.length).toBe(2)
    expect(splitTokens(range(10), 1).validation.length).toBe(0)
    for (const fraction of [-0.1, 1.1, NaN, '0.5' as never])
      expect(() => splitTokens(range(10), fraction)).toThrow(ArgumentError)
  })
})
