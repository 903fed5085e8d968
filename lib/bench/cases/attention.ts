import { attention, type AttentionOptions } from '../../ops/attention.ts'
import { cacheFormats, cacheWrite, quantizedCache, type CacheFormat, type QuantizedCache } from '../../ops/cache.ts'
import { cachedAttention } from '../../ops/cached-attention.ts'
import { multiply } from '../../ops/elementwise.ts'
import { fill } from '../../ops/fill.ts'
import { grad } from '../../ops/gradients.ts'
import { sum } from '../../ops/reduce.ts'
import { bytesOf, cold, type Input, floats, type Example, type Family, type Prepared, type Tensors } from '../case.ts'
import type { Tensor } from '../../tensor/tensor.ts'

const dimensions = ['heads', 'length', 'headDim']

const example = (name: string, heads: number, length: number, headDim: number, quick = false): Example => ({
  name,
  sizes: [heads, length, headDim],
  quick,
})

/** Pairs of a query and a key that it sees: all, or of the last `window` up to its own. */
const pairs = (length: number, causal: boolean, window = length): number =>
  causal ? length * window - (window * (window - 1)) / 2 : length * length

/** How a family's attention differs from the plain one. */
interface Variant {
  readonly name?: string
  readonly options?: Pick<AttentionOptions, 'causal' | 'window' | 'softcap' | 'precision'>
  /** More operands, of so many heads and tokens. */
  readonly more?: (heads: number, length: number) => Readonly<Record<string, Input>>
}

const familyOf = ({ name, options = {} }: Variant, direction: string): Pick<Family, 'op' | 'variant' | 'dtype'> => {
  const variant = [name, direction].filter(Boolean).join(' ')
  return { op: 'attention', ...(variant && { variant }), dtype: options.precision ?? 'f32' }
}

/** Two products, q·kᵀ and p·v: 4 operations for each pair and element. */
const forward = (variant: Variant, examples: readonly Example[]): Family => ({
  ...familyOf(variant, ''),
  instruction: 'attention',
  dimensions,
  examples,
  subject: (h, t, d) => {
    const { options = {}, more } = variant
    const { causal, window } = options
    const added = more?.(h!, t!) ?? {}
    const bytes = Object.values(added).reduce((sum, { shape }) => sum + bytesOf(...shape), 0)
    return {
      work: {
        flops: 4 * h! * pairs(t!, causal === true, window as number | undefined) * d!,
        read: 3 * bytesOf(h!, t!, d!) + bytes,
        written: bytesOf(h!, t!, d!),
      },
      inputs: { q: floats(1, h!, t!, d!), k: floats(1, h!, t!, d!), v: floats(1, h!, t!, d!), ...added },
      run: ({ q, k, v, ...given }) => attention(q!, k!, v!, { ...options, ...given }),
    }
  },
})

/** Five products: the scores again, and one for each of dP, dQ, dK and dV. Two of the three gradients are left out of what is read back. */
const backward = (variant: Variant, examples: readonly Example[]): Family => ({
  ...familyOf(variant, 'backward'),
  instruction: 'attentionGradient',
  dimensions,
  examples,
  subject: (h, t, d) => {
    const { options = {} } = variant
    return {
      work: {
        flops: 10 * h! * pairs(t!, options.causal === true) * d!,
        read: 5 * bytesOf(h!, t!, d!),
        written: 3 * bytesOf(h!, t!, d!),
      },
      inputs: Object.fromEntries(['q', 'k', 'v', 'gradient'].map((name) => [name, floats(1, h!, t!, d!)])),
      run: ({ q, k, v, gradient }: Tensors): Tensor =>
        grad(() => sum(multiply(attention(q!, k!, v!, options), gradient!)), q!)({}),
    }
  },
})

/**
 * One query of each head by a cache in its format, which comes from memory; several heads of queries share keys where
 * there are so many.
 */
const cachedDecode = (format: CacheFormat): Family => ({
  op: 'cachedAttention',
  dtype: format,
  instruction: 'cachedAttention',
  dimensions: ['heads', 'kvHeads', 'length', 'headDim'],
  examples: [
    { name: 'GPT-2, 4,096 cached tokens', sizes: [12, 12, 4096, 64], quick: format !== 'bf16' },
    { name: 'Llama-1B, 4,096 cached tokens', sizes: [32, 8, 4096, 64] },
  ],
  subject: (h, g, t, d) => {
    const cacheBytes = { f32: 8 * d!, bf16: 4 * d!, int8: 2 * (d! + 4) }[format] * g! * t!
    const keyLengths: Input = { shape: [1], dtype: 'i32', range: [t!, t! + 1] }
    const q = floats(1, h!, 1, d!)
    const cache = { k: cold(1, g!, t!, d!), v: cold(1, g!, t!, d!) }
    const work = { flops: 4 * h! * t! * d!, read: cacheBytes + bytesOf(h!, d!), written: bytesOf(h!, d!) }
    if (format === 'f32')
      return {
        work,
        inputs: { q, ...cache, keyLengths },
        run: ({ q, k, v, keyLengths }: Tensors) => cachedAttention(q!, k!, v!, { keyLengths: keyLengths! }),
      }
    const filled = (x: Tensor): QuantizedCache => cacheWrite(quantizedCache(x.shape, format), x, fill([], 0, 'i32'))
    return {
      work,
      inputs: { q, keyLengths },
      raw: cache,
      prepare: ({ k, v }: Tensors) => ({ keys: filled(k!), values: filled(v!) }),
      run: ({ q, keyLengths }: Tensors, { keys, values }: Prepared) =>
        cachedAttention(q!, keys as QuantizedCache, values as QuantizedCache, { keyLengths: keyLengths! }),
    }
  },
})

const bert = example('BERT-base, 512 tokens', 12, 512, 64, true)
const gpt2 = example('GPT-2, 512 tokens', 12, 512, 64, true)
const long = example('2,048 tokens', 12, 2048, 64)
const slow = (given: Example): Example => ({ ...given, quick: false })

export const attentionFamilies: readonly Family[] = [
  forward({}, [bert, long, example('MiniLM, 128 tokens', 12, 128, 32)]),
  forward({ name: 'causal', options: { causal: true } }, [gpt2, long, example('Llama-1B, 512 tokens', 32, 512, 64)]),
  forward({ options: { precision: 'bf16' } }, [bert, long]),
  forward({ name: 'causal', options: { causal: true, precision: 'bf16' } }, [slow(gpt2)]),
  forward({ name: 'causal, window 256', options: { causal: true, window: 256 } }, [long]),
  forward({ name: 'causal, soft cap', options: { causal: true, softcap: 50 } }, [slow(gpt2)]),
  forward({ name: 'causal, ALiBi', options: { causal: true }, more: (h) => ({ alibiSlopes: floats(h) }) }, [
    slow(gpt2),
  ]),
  forward({ name: 'bias', more: (h, t) => ({ bias: floats(h, t, t) }) }, [example('T5-base, 512 tokens', 12, 512, 64)]),
  ...cacheFormats.map(cachedDecode),
  backward({}, [bert, long]),
  backward({ name: 'causal', options: { causal: true } }, [gpt2]),
  backward({ options: { precision: 'bf16' } }, [bert, long]),
  backward({ name: 'causal', options: { causal: true, precision: 'bf16' } }, [slow(gpt2)]),
]
