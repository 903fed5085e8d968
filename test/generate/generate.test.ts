import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { Decoding } from '../../lib/generate/decoding.ts'
import { generate, type GenerateOptions } from '../../lib/generate/generate.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { runtime } from '../../lib/runtime.ts'
import { Random } from '../../lib/tensor/random.ts'
import { deviation } from '../reference/deviation.ts'
import { context, forward, gpt2, llama, modelOf, vocabSize } from './models.ts'

const random = new Random(1)
const sequence = Array.from({ length: context }, () => random.integer(vocabSize))

/** Adds tokens to the only sequence. */
const append = async (decoding: Decoding, tokens: ArrayLike<number>): Promise<Float32Array> =>
  (await decoding.append([tokens]))[0]!

const argmax = (values: number[]): number => values.indexOf(Math.max(...values))

/** A bound, and a floor that shows that something was rounded at all. */
describe.each([
  ['f32', 0, 5e-6],
  ['bf16', 1e-5, 2e-2],
  ['int8', 1e-5, 5e-2],
] as const)('a cache of %s', (dtype, least, most) => {
  it.each([gpt2, llama])('is off by %f to %f in the logits of %j', async (config) => {
    using model = modelOf(config)
    const whole = forward(model, sequence)
    using decoding = new Decoding(model, { cacheDtype: dtype })
    await append(decoding, sequence.slice(0, 5))
    let worst = 0
    for (const [i, token] of sequence.slice(5).entries())
      worst = Math.max(worst, deviation(await append(decoding, [token]), whole[5 + i]!))
    expect(worst).toBeGreaterThanOrEqual(least)
    expect(worst).toBeLessThan(most)
    const heads = 2 * 2 * (config === llama ? 2 : 4)
    const groups = { f32: 4 * 8 * context, bf16: 2 * 16 * context, int8: 16 * 16 + 64 }[dtype]
    expect(decoding.cacheBytes).toBe(heads * groups)
  })
})

async function collect(model: DecoderModel, prompt: number[], options: GenerateOptions): Promise<number[]> {
  const tokens: number[] = []
  for await (const token of generate(model, prompt, options)) tokens.push(token)
  return tokens
}

const threads = runtime.threads()
afterEach(() => runtime.setThreads(threads))

describe.each([
  ['GPT-2', gpt2],
  ['Llama', llama],
])('%s', (_, config) => {
  const model = modelOf(config)
  afterAll(() => model.dispose())

  it('has the same logits with a cache as without, after a prompt of any length', async () => {
    const whole = forward(model, sequence)
    using decoding = new Decoding(model)
    for (let prompt = 1; prompt <= context; prompt++) {
      decoding.reset()
      let logits = await append(decoding, sequence.slice(0, prompt))
      expect(deviation(logits, whole[prompt - 1]!), `prompt of ${prompt}`).toBeLessThan(1e-5)
      for (let at = prompt; at < context; at++) {
        logits = await append(decoding, [sequence[at]!])
        expect(deviation(logits, whole[at]!), `prompt of ${prompt}, at ${at}`).toBeLessThan(1e-5)
      }
    }
    await expect(append(decoding, [1])).rejects.toThrow(ArgumentError)
  })

  it('takes the same greedy tokens as full forward passes, beyond the context too', async () => {
    for (const length of [1, 5, context - 1, context, context + 3]) {
      const prompt = Array.from({ length }, (_, i) => sequence[i % context]!)
      const count = 2 * context
      const capacity = Math.min(context, length + count)
      let window: number[] = length > capacity ? prompt.slice(-capacity / 2) : [...prompt]
      const all = [...prompt]
      const expected: number[] = []
      for (let i = 0; i < count; i++) {
        const next = argmax(forward(model, window).at(-1)!)
        expected.push(next)
        all.push(next)
        // What `generate` documents: a full cache is begun again with the newer half.
        window = window.length === capacity ? all.slice(-capacity / 2) : [...window, next]
      }
      expect(await collect(model, prompt, { maxNewTokens: count, temperature: 0 }), `prompt of ${length}`).toEqual(
        expected,
      )
      expect(new Set(expected).size).toBeGreaterThan(1)
    }
  })
})

describe('generate', () => {
  const model = modelOf(gpt2)
  afterAll(() => model.dispose())
  const prompt = sequence.slice(0, 4)

  it('has the same bits on any number of threads', async () => {
    using wide = modelOf({ ...gpt2, hiddenSize: 256, vocabSize: 2000, context: 64 })
    const logits = async (count: number): Promise<Float32Array[]> => {
      runtime.setThreads(count)
      using decoding = new Decoding(wide)
      const prompt = Int32Array.from({ length: 40 }, (_, i) => i * 31)
      return [await append(decoding, prompt), await append(decoding, [7])]
    }
    const one = await logits(1)
    expect(await logits(2)).toEqual(one)
    expect(await logits(5)).toEqual(one)
  })

  it('gives the same tokens for the same seed', async () => {
    const options = { maxNewTokens: 30, topK: 10, topP: 0.95, temperature: 1.3 }
    const tokens = await collect(model, prompt, { ...options, seed: 3 })
    expect(tokens).toHaveLength(30)
    expect(await collect(model, prompt, { ...options, seed: 3 })).toEqual(tokens)
    expect(await collect(model, prompt, { ...options, seed: 4 })).not.toEqual(tokens)
  })

  it('ends at maxNewTokens, and before a stop token', async () => {
    const tokens = await collect(model, prompt, { maxNewTokens: 20, seed: 3 })
    expect(await collect(model, prompt, { maxNewTokens: 7, seed: 3 })).toEqual(tokens.slice(0, 7))
    expect(await collect(model, prompt, { maxNewTokens: 0 })).toEqual([])
    const stop = tokens[5]!
    expect(await collect(model, prompt, { maxNewTokens: 20, seed: 3, stopTokens: [stop] })).toEqual(
      tokens.slice(0, tokens.indexOf(stop)),
    )
  })

  it('gives each token before it makes the next, and memory back when nobody wants more', async () => {
    const before = runtime.liveBytes()
    const expected = await collect(model, prompt, { maxNewTokens: 3, seed: 3 })
    const tokens: number[] = []
    for await (const token of generate(model, prompt, { maxNewTokens: 1e9, seed: 3 })) {
      tokens.push(token)
      if (tokens.length === 3) break
    }
    expect(tokens).toEqual(expected)
    expect(runtime.liveBytes()).toBe(before)
  })

  it('takes no more memory the longer it writes', async () => {
    const seen = new Set<number>()
    let made = 0
    for await (const token of generate(model, prompt, { maxNewTokens: 150, seed: 1 }))
      if (token >= 0 && ++made > 2 * context) seen.add(runtime.liveBytes())
    expect(seen.size).toBe(1)
  })

  it('stops at an abort with its reason, and gives memory back', async () => {
    const before = runtime.liveBytes()
    const controller = new AbortController()
    const reason = new Error('enough')
    const tokens: number[] = []
    const run = async (): Promise<void> => {
      for await (const token of generate(model, prompt, { maxNewTokens: 1e9, signal: controller.signal })) {
        tokens.push(token)
        if (tokens.length === 3) setImmediate(() => controller.abort(reason))
      }
    }
    await expect(run()).rejects.toBe(reason)
    expect(tokens.length).toBeGreaterThanOrEqual(3)
    expect(runtime.liveBytes()).toBe(before)
    await expect(collect(model, prompt, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  it.each<[number[], object]>([
    [[], {}],
    [[vocabSize], {}],
    [[-1], {}],
    [[0.5], {}],
    [[1], { maxNewTokens: -1 }],
    [[1], { maxNewTokens: 1.5 }],
    [[1], { maxTokens: 3 }],
    [[1], { temperature: -1 }],
  ])('refuses the prompt %j with %j', async (given, options) => {
    await expect(collect(model, given, options)).rejects.toThrow(ArgumentError)
  })
})
