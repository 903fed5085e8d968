import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { ArgumentError, ExecutionError } from '../../lib/errors.ts'
import { Decoding, type Pieces } from '../../lib/generate/decoding.ts'
import { generate } from '../../lib/generate/generate.ts'
import { Sampler } from '../../lib/generate/sampler.ts'
import { runtime } from '../../lib/runtime.ts'
import { Random } from '../../lib/tensor/random.ts'
import { deviation } from '../reference/deviation.ts'
import { context, forward, gpt2, llama, modelOf, vocabSize } from './models.ts'

const random = new Random(3)
const tokensOf = (length: number): number[] => Array.from({ length }, () => random.integer(vocabSize))

const threads = runtime.threads()
afterEach(() => runtime.setThreads(threads))

describe.each([
  ['GPT-2', gpt2],
  ['Llama', llama],
])('several sequences of %s', (_, config) => {
  const model = modelOf(config)
  afterAll(() => model.dispose())

  /** Adds `pieces` and compares with forward passes over what each sequence holds then. */
  async function grow(decoding: Decoding, held: number[][], pieces: Pieces): Promise<void> {
    const logits = await decoding.append(pieces)
    pieces.forEach((piece, s) => {
      held[s]!.push(...Array.from(piece ?? []))
      if (!piece?.length) expect(logits[s]).toBeUndefined()
      else expect(deviation(logits[s]!, forward(model, held[s]!).at(-1)!), `sequence ${s}`).toBeLessThan(1e-5)
    })
    expect(decoding.lengths).toEqual(held.map((tokens) => tokens.length))
  }

  it('have the logits of each alone, whatever their lengths', async () => {
    using decoding = new Decoding(model, { sequences: 4 })
    const held: number[][] = [[], [], [], []]
    await grow(decoding, held, [tokensOf(5), tokensOf(1), undefined, tokensOf(context)])
    await grow(decoding, held, [tokensOf(1), tokensOf(1), tokensOf(3), undefined])
    await grow(decoding, held, [[], tokensOf(2), tokensOf(1), undefined])
    decoding.reset(3)
    held[3] = []
    decoding.truncate(0, 2)
    held[0] = held[0]!.slice(0, 2)
    await grow(decoding, held, [tokensOf(1), tokensOf(1), tokensOf(1), tokensOf(4)])
    decoding.reset()
    await grow(decoding, [[], [], [], []], [tokensOf(1), tokensOf(2), tokensOf(3), tokensOf(4)])
  })

  it('go on from what others hold, as beams do', async () => {
    // Tokens in one piece or several are summed in another order, and may be rounded to another number in the cache.
    for (const [cacheDtype, tolerance] of [
      ['f32', 1e-5],
      ['bf16', 2e-2],
      ['int8', 5e-2],
    ] as const) {
      const same = (is: Float32Array | undefined, should: Float32Array): void =>
        expect(deviation(is!, should), cacheDtype).toBeLessThan(tolerance)
      using decoding = new Decoding(model, { sequences: 4, cacheDtype })
      const [a, b] = [tokensOf(4), tokensOf(6)]
      using alone = new Decoding(model, { cacheDtype })
      const follow = async (sequence: number[], token: number): Promise<Float32Array> => {
        alone.reset()
        await alone.append([sequence])
        return (await alone.append([[token]]))[0]!
      }
      await decoding.append([a, b, tokensOf(2), tokensOf(1)])
      // 1 and 2 swap with what they hold; 0 has three children.
      await decoding.reorder([1, 0, 0, 0])
      expect(decoding.lengths).toEqual([6, 4, 4, 4])
      const logits = await decoding.append([[1], [2], [3], [4]])
      same(logits[0], await follow(b, 1))
      for (const [i, token] of [2, 3, 4].entries()) same(logits[i + 1], await follow(a, token))
      await decoding.reorder([3, 2, 1, 0])
      const next = await decoding.append([[5], [5], undefined, [5]])
      same(next[0], await follow([...a, 4], 5))
      same(next[1], await follow([...a, 3], 5))
      same(next[3], await follow([...b, 1], 5))
    }
  })

  it('draw the same tokens in a batch as alone, on any number of threads', async () => {
    const prompts = [tokensOf(1), tokensOf(5), tokensOf(3)]
    const options = [{ seed: 1 }, { seed: 2, temperature: 2, topK: 9 }, { temperature: 0 }]
    const alone: number[][] = []
    for (const [s, prompt] of prompts.entries()) {
      const tokens: number[] = []
      for await (const token of generate(model, prompt, { ...options[s]!, maxNewTokens: 6 })) tokens.push(token)
      alone.push(tokens)
    }
    for (const count of [1, 3]) {
      runtime.setThreads(count)
      using decoding = new Decoding(model, { sequences: 3 })
      const samplers = options.map((given) => new Sampler(given))
      const made: number[][] = [[], [], []]
      let pieces: Pieces = prompts
      for (let step = 0; step < 6; step++) {
        const tokens = await decoding.sample(pieces, samplers)
        tokens.forEach((token, s) => made[s]!.push(token))
        pieces = Array.from(tokens, (token) => [token])
      }
      expect(made).toEqual(alone)
    }
  })

  it('leave memory as it was', async () => {
    const before = runtime.liveBytes()
    const decoding = new Decoding(model, { sequences: 3, cacheDtype: 'int8' })
    await decoding.append([tokensOf(2), undefined, tokensOf(3)])
    await decoding.reorder([0, 0, 2])
    await decoding.sample([undefined, [1], undefined], [new Sampler(), new Sampler(), new Sampler()])
    decoding.dispose()
    expect(runtime.liveBytes()).toBe(before)
  })
})

describe('Decoding', () => {
  const model = modelOf({ ...gpt2, context: 700 })
  afterAll(() => model.dispose())

  it('reads prompts that are longer than a run', async () => {
    using decoding = new Decoding(model, { sequences: 3 })
    const prompts = [tokensOf(300), tokensOf(650), tokensOf(514)]
    const logits = await decoding.append(prompts)
    for (const [s, prompt] of prompts.entries())
      expect(deviation(logits[s]!, forward(model, prompt).at(-1)!)).toBeLessThan(2e-5)
    const samplers = prompts.map((_, seed) => new Sampler({ seed }))
    const tokens = await decoding.sample([undefined, tokensOf(50), undefined], samplers)
    expect([tokens[0], tokens[2]]).toEqual([-1, -1])
    expect(tokens[1]).toBeGreaterThanOrEqual(0)
    expect(samplers.map(({ step }) => step)).toEqual([0, 1, 0])
  })

  it('changes nothing when it is stopped, or fails', async () => {
    using decoding = new Decoding(model, { sequences: 2 })
    await decoding.append([[1, 2], [3]])
    const reason = new Error('enough')
    await expect(decoding.append([tokensOf(600), undefined], { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    )
    await expect(decoding.append([[vocabSize], undefined])).rejects.toThrow(ExecutionError)
    expect(decoding.lengths).toEqual([2, 1])
    const [, logits] = await decoding.append([undefined, [4]])
    expect(deviation(logits!, forward(model, [3, 4]).at(-1)!)).toBeLessThan(1e-5)
  })

  it('refuses what makes no sense', async () => {
    using decoding = new Decoding(model, { sequences: 2, capacity: 8 })
    for (const pieces of [[[1]], [[], []], [undefined, undefined], [tokensOf(9), [1]], 5, [[1], [1], [1]]])
      await expect(decoding.append(pieces as Pieces)).rejects.toThrow(ArgumentError)
    for (const parents of [[0], [0, 2], [-1, 0], 'x'])
      await expect(decoding.reorder(parents as number[])).rejects.toThrow(ArgumentError)
    await expect(decoding.sample([[1], undefined], [new Sampler()])).rejects.toThrow('expected 2 samplers')
    const first = decoding.append([[1], [2]])
    await expect(decoding.append([[1], [2]])).rejects.toThrow('growing already')
    await first
    expect(() => decoding.truncate(0, 2)).toThrow(ArgumentError)
    expect(() => decoding.reset(2)).toThrow(ArgumentError)
    for (const options of [{ sequences: 0 }, { capacity: 701 }, { cacheDtype: 'f16' }, { size: 1 }])
      expect(() => new Decoding(model, options as object)).toThrow(ArgumentError)
  })
})
