import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { sampler, type SamplingOptions } from '../../lib/generate/sampler.ts'
import { Random } from '../../lib/tensor/random.ts'

/** Probabilities by the textbook: softmax, the k most likely, of those the fewest that reach p, normalised. */
function distribution(
  logits: ArrayLike<number>,
  { temperature = 1, topK = Infinity, topP = 1 }: SamplingOptions,
): number[] {
  const ids = Array.from(logits, (logit, id) => ({ id, weight: Math.exp(logit / temperature) }))
  const ranked = ids.sort((a, b) => b.weight - a.weight || a.id - b.id).slice(0, topK)
  const total = ranked.reduce((sum, { weight }) => sum + weight, 0)
  let reached = 0
  const kept = ranked.filter(({ weight }, i) => {
    const wanted = i === 0 || reached < topP * total
    reached += weight
    return wanted
  })
  const keptTotal = kept.reduce((sum, { weight }) => sum + weight, 0)
  const probabilities = new Array<number>(logits.length).fill(0)
  for (const { id, weight } of kept) probabilities[id] = weight / keptTotal
  return probabilities
}

const logits = Float32Array.of(0.3, -1, 2, 0.3, 1.2, -2.5, 0.9, -Infinity)

describe('sampler', () => {
  it.each<SamplingOptions>([
    {},
    { temperature: 0.5 },
    { temperature: 3 },
    { topK: 2 },
    { topK: 5 },
    { topK: 100 },
    { topP: 0.6 },
    { topP: 0.9, temperature: 2 },
    { topK: 4, topP: 0.8 },
    { topK: 3, topP: 0.95, temperature: 1.5 },
  ])('%j: chooses as often as the distribution says', (options) => {
    const choose = sampler({ ...options, seed: 11 })
    const counts = new Array<number>(logits.length).fill(0)
    const draws = 20_000
    for (let i = 0; i < draws; i++) counts[choose(logits)]!++
    let chiSquare = 0
    for (const [id, probability] of distribution(logits, options).entries())
      if (probability === 0) expect(counts[id], `token ${id}`).toBe(0)
      else chiSquare += (counts[id]! - draws * probability) ** 2 / (draws * probability)
    // 6 degrees of freedom at most: beyond this once in 10,000 seeds.
    expect(chiSquare).toBeLessThan(27.9)
  })

  it('keeps exactly the tokens of top-k and top-p, whatever the vocabulary, ties included', () => {
    const random = new Random(2)
    for (let trial = 0; trial < 60; trial++) {
      const some = Float32Array.from({ length: 1 + random.integer(200) }, () => random.integer(6) / 2)
      const options = { topK: 1 + random.integer(30), topP: random.uniform(), temperature: 0.7 }
      for (const given of [options, { ...options, topK: 1000 }, { ...options, topP: 1 }]) {
        const possible = distribution(some, given)
        const choose = sampler({ ...given, seed: trial })
        const seen = new Set(Array.from({ length: 200 }, () => choose(some)))
        for (const id of seen) expect(possible[id], JSON.stringify(given)).toBeGreaterThan(0)
        if (possible.every((p) => p === 0 || p > 0.1))
          expect(seen.size, JSON.stringify(given)).toBe(possible.filter((p) => p > 0).length)
      }
    }
  })

  it.each<SamplingOptions>([{ temperature: 0 }, { topK: 1 }, { topP: 0 }])(
    '%j is greedy; of equals it takes the first',
    (options) => {
      const choose = sampler(options)
      expect(choose(logits)).toBe(2)
      expect(choose(Float32Array.of(-1, 3, 3, 0))).toBe(1)
      expect(choose(Float32Array.of(-5))).toBe(0)
    },
  )

  it('takes the smallest temperature there is', () => expect(sampler({ temperature: 5e-324 })(logits)).toBe(2))

  it('chooses the same for the same seed, something else for another', () => {
    const draw = (seed: number): number[] => {
      const choose = sampler({ seed })
      return Array.from({ length: 50 }, () => choose(logits))
    }
    expect(draw(4)).toEqual(draw(4))
    expect(draw(4)).not.toEqual(draw(5))
  })

  it.each([
    { temperature: -1 },
    { temperature: NaN },
    { temperature: Infinity },
    { topK: 0 },
    { topK: 1.5 },
    { topP: 1.1 },
    { topP: -0.1 },
    { seed: -1 },
    { seed: 'x' },
    { top_k: 3 },
  ])('refuses %j', (options) => expect(() => sampler(options as never)).toThrow(ArgumentError))

  it.each([{}, { temperature: 0 }, { topK: 2 }, { topP: 0.5 }])('refuses broken logits, %j', (options) => {
    const choose = sampler(options)
    expect(() => choose(Float32Array.of(1, NaN))).toThrow('the logit of token 1 is NaN')
    expect(() => choose(Float32Array.of(1, Infinity))).toThrow('the largest logit is Infinity')
    expect(() => choose(Float32Array.of(-Infinity, -Infinity))).toThrow('the largest logit is -Infinity')
  })
})
