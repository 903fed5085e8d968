import { attention } from '../../ops/attention.ts'
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

/** Pairs of a query and a key that it sees. */
const pairs = (length: number, causal: boolean): number => (causal ? (length * (length + 1)) / 2 : length * length)

/** Two products, q·kᵀ and p·v: 4 operations for each pair and element. */
const forward = (variant: string, causal: boolean, examples: readonly Example[]): Family => ({
  op: 'attention',
  ...(variant && { variant }),
  instruction: 'attention',
  dimensions,
  examples,
  subject: (h, t, d) => ({
    work: { flops: 4 * h! * pairs(t!, causal) * d!, read: 3 * bytesOf(h!, t!, d!), written: bytesOf(h!, t!, d!) },
    inputs: { q: floats(1, h!, t!, d!), k: floats(1, h!, t!, d!), v: floats(1, h!, t!, d!) },
    run: ({ q, k, v }) => attention(q!, k!, v!, { causal }),
  }),
})

/** Five products: the scores again, and one for each of dP, dQ, dK and dV. Two of the three gradients are left out of what is read back. */
const backward = (variant: string, causal: boolean, examples: readonly Example[]): Family => ({
  op: 'attention',
  variant,
  instruction: 'attentionGradient',
  dimensions,
  examples,
  subject: (h, t, d) => ({
    work: { flops: 10 * h! * pairs(t!, causal) * d!, read: 5 * bytesOf(h!, t!, d!), written: 3 * bytesOf(h!, t!, d!) },
    inputs: Object.fromEntries(['q', 'k', 'v', 'gradient'].map((name) => [name, floats(1, h!, t!, d!)])),
    run: ({ q, k, v, gradient }: Tensors): Tensor =>
      grad(() => sum(multiply(attention(q!, k!, v!, { causal }), gradient!)), q!)({}),
  }),
})

/** One query of each head; the keys and values of a layer come from memory. */
const decode: Family = {
  op: 'attention',
  variant: 'decode',
  instruction: 'attention',
  dimensions,
  examples: [
    example('GPT-2, 4,096 cached tokens', 12, 4096, 64, true),
    example('Llama-1B key-value heads, 4,096 cached tokens', 8, 4096, 64),
  ],
  subject: (h, t, d) => ({
    work: { flops: 4 * h! * t! * d!, read: 2 * bytesOf(h!, t!, d!) + bytesOf(h!, d!), written: bytesOf(h!, d!) },
    inputs: { q: floats(1, h!, 1, d!), k: cold(1, h!, t!, d!), v: cold(1, h!, t!, d!) },
    run: ({ q, k, v }) => attention(q!, k!, v!),
  }),
}

/** The same by a cache in its format; two heads of queries share keys where there are so many. */
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

export const attentionFamilies: readonly Family[] = [
  forward('', false, [
    example('BERT-base, 512 tokens', 12, 512, 64, true),
    example('2,048 tokens', 12, 2048, 64),
    example('MiniLM, 128 tokens', 12, 128, 32),
  ]),
  forward('causal', true, [
    example('GPT-2, 512 tokens', 12, 512, 64, true),
    example('2,048 tokens', 12, 2048, 64),
    example('Llama-1B, 512 tokens', 32, 512, 64),
  ]),
  decode,
  ...cacheFormats.map(cachedDecode),
  backward('backward', false, [
    example('BERT-base, 512 tokens', 12, 512, 64, true),
    example('2,048 tokens', 12, 2048, 64),
  ]),
  backward('causal backward', true, [example('GPT-2, 512 tokens', 12, 512, 64)]),
]
