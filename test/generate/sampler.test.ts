import { afterEach, describe, expect, it } from 'vitest'
import { ArgumentError, ExecutionError } from '../../lib/errors.ts'
import { Sampler, type SamplingOptions } from '../../lib/generate/sampler.ts'
import { sample } from '../../lib/ops/index.ts'
import { runtime } from '../../lib/runtime.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'

/** Probabilities by the textbook: softmax, the k most likely, of those the fewest that reach p, of those min-p, normalised. */
function distribution(
  logits: ArrayLike<number>,
  { temperature = 1, topK = Infinity, topP = 1, minP = 0 }: SamplingOptions,
): number[] {
  const ids = Array.from(logits, (logit, id) => ({ id, weight: Math.exp(logit / temperature) }))
  const ranked = ids.sort((a, b) => b.weight - a.weight || a.id - b.id).slice(0, topK)
  const total = ranked.reduce((sum, { weight }) => sum + weight, 0)
  let reached = 0
  const kept = ranked.filter(({ weight }, i) => {
    const wanted = i === 0 || reached < topP * total
    reached += weight
    return wanted && weight >= minP * ranked[0]!.weight
  })
  const keptTotal = kept.reduce((sum, { weight }) => sum + weight, 0)
  const probabilities = new Array<number>(logits.length).fill(0)
  for (const { id, weight } of kept) probabilities[id] = weight / keptTotal
  return probabilities
}

/** The first `count` draws of one sequence. */
function draws(logits: ArrayLike<number>, options: SamplingOptions, count: number): Int32Array {
  const { seed, temperature, topK, topP, minP } = new Sampler(options)
  const all = <A extends Int32Array | Float32Array>(array: A, value: number): A => array.fill(value) as A
  const ints = (value: number): Int32Array => all(new Int32Array(count), value)
  const floats = (value: number): Float32Array => all(new Float32Array(count), value)
  const rows = new Float32Array(count * logits.length)
  for (let row = 0; row < count; row++) rows.set(logits, row * logits.length)
  const inputs = {
    seed: tensor(ints(seed)),
    step: tensor(Int32Array.from({ length: count }, (_, i) => i)),
    temperature: tensor(floats(temperature)),
    topK: tensor(ints(topK)),
    topP: tensor(floats(topP)),
    minP: tensor(floats(minP)),
  }
  using given = tensor(rows, { shape: [count, logits.length] })
  using tokens = sample(given, inputs)
  for (const input of Object.values(inputs)) input.dispose()
  return tokens.data().slice() as Int32Array
}

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterEach(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

const logits = Float32Array.of(0.3, -1, 2, 0.3, 1.2, -2.5, 0.9, -Infinity)

describe('sampling', () => {
  it.each<SamplingOptions>([
    {},
    { temperature: 0.5 },
    { temperature: 3 },
    { topK: 2 },
    { topK: 5 },
    { topK: 100 },
    { topP: 0.6 },
    { topP: 0.9, temperature: 2 },
    { minP: 0.1 },
    { minP: 0.3, temperature: 2 },
    { topK: 4, topP: 0.8 },
    { topK: 3, topP: 0.95, temperature: 1.5 },
    { topK: 6, topP: 0.95, minP: 0.15, temperature: 1.5 },
  ])('%j: chooses as often as the distribution says, on every instruction set', (options) => {
    for (const isa of runtime.availableIsas()) {
      runtime.setIsa(isa)
      const count = 20_000
      const counts = new Array<number>(logits.length).fill(0)
      for (const token of draws(logits, { ...options, seed: 11 }, count)) counts[token]!++
      let chiSquare = 0
      for (const [id, probability] of distribution(logits, options).entries())
        if (probability === 0) expect(counts[id], `token ${id}`).toBe(0)
        else chiSquare += (counts[id]! - count * probability) ** 2 / (count * probability)
      // 6 degrees of freedom at most: beyond this once in 10,000 seeds.
      expect(chiSquare).toBeLessThan(27.9)
    }
  })

  it('chooses as often as the distribution says in a large vocabulary, by groups of tokens', () => {
    const random = new Random(5)
    const large = Float32Array.from({ length: 5000 }, () => 2 * random.normal())
    for (const options of [{}, { topP: 0.7 }, { topK: 400 }, { minP: 0.01, temperature: 0.8 }]) {
      const groups = new Array<number>(16).fill(0)
      const count = 4000
      for (const token of draws(large, { ...options, seed: 3 }, count)) groups[token % 16]!++
      const expected = new Array<number>(16).fill(0)
      distribution(large, options).forEach((p, id) => (expected[id % 16]! += p * count))
      const chiSquare = groups.reduce((sum, n, i) => sum + (n - expected[i]!) ** 2 / expected[i]!, 0)
      // 15 degrees of freedom.
      expect(chiSquare, JSON.stringify(options)).toBeLessThan(44.3)
    }
  })

  it('keeps exactly the tokens of the filters, whatever the vocabulary, ties included', () => {
    const random = new Random(2)
    for (let trial = 0; trial < 60; trial++) {
      const some = Float32Array.from({ length: 1 + random.integer(200) }, () => random.integer(6) / 2)
      const options = { topK: 1 + random.integer(30), topP: random.uniform(), temperature: 0.7 }
      for (const given of [options, { ...options, topK: 1000 }, { ...options, topP: 1 }, { ...options, minP: 0.2 }]) {
        const possible = distribution(some, given)
        const seen = new Set(draws(some, { ...given, seed: trial }, 200))
        for (const id of seen) expect(possible[id], JSON.stringify(given)).toBeGreaterThan(0)
        if (possible.every((p) => p === 0 || p > 0.1))
          expect(seen.size, JSON.stringify(given)).toBe(possible.filter((p) => p > 0).length)
      }
    }
  })

  it.each<SamplingOptions>([{ temperature: 0 }, { topK: 1 }, { topP: 0 }, { minP: 1 }])(
    '%j is greedy; of equals it takes the first',
    (options) => {
      expect(draws(logits, options, 1)[0]).toBe(2)
      if (options.minP === undefined) expect(draws([-1, 3, 3, 0], options, 1)[0]).toBe(1)
      expect(draws([-5], options, 1)[0]).toBe(0)
    },
  )

  it('takes the smallest temperature there is', () => expect(draws(logits, { temperature: 5e-324 }, 1)[0]).toBe(2))

  it('chooses the same for the same seed, something else for another, on any number of threads', () => {
    const random = new Random(9)
    const some = Float32Array.from({ length: 3000 }, () => random.normal())
    const at = (seed: number, threads: number): Int32Array => {
      runtime.setThreads(threads)
      return draws(some, { seed }, 50)
    }
    expect(at(4, 1)).toEqual(at(4, 2))
    expect(at(4, 1)).not.toEqual(at(5, 1))
    expect(at(4, 1)).not.toEqual(at(4 + 2 ** 32, 1))
    expect(new Set(at(4, 3)).size).toBeGreaterThan(40)
  })

  it.each([
    { temperature: -1 },
    { temperature: NaN },
    { temperature: Infinity },
    { temperature: 1e300 },
    { topK: 0 },
    { topK: 1.5 },
    { topP: 1.1 },
    { topP: -0.1 },
    { minP: 1.1 },
    { minP: -0.1 },
    { seed: -1 },
    { seed: 'x' },
    { top_k: 3 },
  ])('refuses %j', (options) => expect(() => new Sampler(options as never)).toThrow(ArgumentError))

  it.each([{}, { temperature: 0 }, { topK: 2 }, { topP: 0.5 }, { minP: 0.5 }])(
    'refuses broken logits, %j',
    (options) => {
      const broken = (values: number[], message: string): void => {
        const draw = (): unknown => draws(values, options, 2)
        expect(draw).toThrow(ExecutionError)
        expect(draw).toThrow(message)
      }
      broken([1, NaN], 'the logit of token 1 in row 0 is NaN')
      broken([1, Infinity], 'the largest logit of row 0 is Infinity')
      broken([-Infinity, -Infinity], 'the largest logit of row 0 is -Infinity')
    },
  )

  it('refuses numbers out of their range when it runs', () => {
    using x = tensor([[1, 2]])
    const [seed, step] = [tensor(Int32Array.of(0)), tensor(Int32Array.of(0))]
    const f32 = (value: number): ReturnType<typeof tensor> => tensor(Float32Array.of(value))
    for (const [given, message] of [
      [{ temperature: f32(-1) }, 'temperature[0] is -1'],
      [{ temperature: f32(NaN) }, 'temperature[0] is nan'],
      [{ topP: f32(2) }, 'topP[0] is 2'],
      [{ minP: f32(-2) }, 'minP[0] is -2'],
      [{ topK: tensor(Int32Array.of(-3)) }, 'topK[0] is -3'],
    ] as const)
      expect(() => sample(x, { seed, step, ...given })).toThrow(message)
  })
})
