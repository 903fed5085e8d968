import * as ops from '../../../lib/ops/index.ts'
import { cacheFormats, QuantizedCache, quantizedCacheWords } from '../../../lib/ops/cache.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, normal, values, type Case, type Input } from '../case.ts'

/** A cache as an input: numbers, or the words that they are rounded to. */
const emptyCache = (shape: Shape, format: ops.CacheFormat): Input => {
  if (format === 'f32') return normal(shape)
  const words = quantizedCacheWords(shape, format)
  return indices([0], words)
}
const asCache = (x: Tensor, shape: Shape, format: ops.CacheFormat): Tensor | QuantizedCache =>
  format === 'f32' ? x : new QuantizedCache(shape, format, x)

interface Sizes {
  readonly batch?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly queries: number
  readonly capacity: number
  readonly dim?: number
  readonly valueDim?: number
  readonly lengths?: readonly number[]
  readonly causal?: boolean
  readonly scale?: number
}

function attends(format: ops.CacheFormat, sizes: Sizes): Case {
  const { batch = 1, heads = 2, kvHeads = heads, queries, capacity, dim = 8, valueDim = dim } = sizes
  const { lengths = Array.from({ length: batch }, () => capacity), causal, scale } = sizes
  const [keyShape, valueShape] = [dim, valueDim].map((d) => [batch, kvHeads, capacity, d]) as unknown as [Shape, Shape]
  const longest = Math.max(0, ...lengths)
  const described = Object.entries(sizes).map(([name, size]) => `${name} ${String(size)}`)
  return define({
    name: `cachedAttention ${format}, ${described.join(', ')}`,
    inputs: {
      q: normal([batch, heads, queries, dim]),
      k: normal([batch, longest, kvHeads * dim]),
      v: normal([batch, longest, kvHeads * valueDim]),
      keys: emptyCache(keyShape, format),
      values: emptyCache(valueShape, format),
      start: indices([0], []),
      keyLengths: indices(lengths, [batch]),
    },
    run: ({ q, k, v, keys, values: held, start, keyLengths }) => {
      const rows = (x: Tensor, d: number): Tensor =>
        ops.transpose(ops.reshape(x, [batch, longest, kvHeads, d]), [0, 2, 1, 3])
      return ops.cachedAttention(
        q,
        ops.cacheWrite(asCache(keys, keyShape, format), rows(k, dim), start),
        ops.cacheWrite(asCache(held, valueShape, format), rows(v, valueDim), start),
        { keyLengths, ...(causal !== undefined && { causal }), ...(scale !== undefined && { scale }) },
      )
    },
    gradient: [],
    ulps: 8 + 2 * Math.sqrt(dim),
  })
}

/** Blocks are 64 or 128 keys, groups 16; rows go by four, two and one; up to 16 rows are streamed. */
const sizes: readonly Sizes[] = [
  ...[1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300].map((capacity) => ({ queries: 1, capacity })),
  ...[2, 3, 4, 7, 8, 9, 16, 17, 40].map((queries) => ({ queries, capacity: 140 })),
  ...[1, 3, 4, 15, 16, 17, 20, 33, 64, 80, 128, 256].map((dim) => ({ queries: 1, capacity: 21, dim })),
  ...[1, 16, 40].map((valueDim) => ({ queries: 2, capacity: 21, valueDim })),
  ...[2, 6, 14].map((heads) => ({ heads, kvHeads: 2, queries: 1, capacity: 150, dim: 64 })),
  { heads: 6, kvHeads: 2, queries: 3, capacity: 70 },
  { batch: 3, queries: 1, capacity: 200, lengths: [200, 0, 131] },
  { batch: 3, heads: 4, kvHeads: 1, queries: 5, capacity: 200, lengths: [3, 0, 200] },
  { batch: 3, queries: 20, capacity: 200, lengths: [3, 0, 200] },
  { queries: 3, capacity: 90, causal: false },
  { queries: 30, capacity: 90, causal: false, scale: 0.7 },
  // Several runs: of 512 KiB.
  { heads: 1, queries: 1, capacity: 2700, dim: 256, lengths: [2651] },
  { queries: 0, capacity: 7 },
  { queries: 2, capacity: 0 },
  { batch: 0, queries: 2, capacity: 7 },
]

const notANumber = cacheFormats.map((format) =>
  define({
    name: `cachedAttention ${format} of a key that is NaN`,
    inputs: {
      q: normal([1, 2, 1, 8]),
      k: values([1, 2, 3, 4, 5, NaN, 7, 8], [1, 2, 3, 8]),
      keys: emptyCache([1, 2, 6, 8], format),
      start: indices([0], []),
      keyLengths: indices([3]),
    },
    run: ({ q, k, keys, start, keyLengths }) => {
      const held = ops.cacheWrite(asCache(keys, [1, 2, 6, 8], format), k, start)
      return ops.cachedAttention(q, held, held, { keyLengths })
    },
    gradient: [],
  }),
)

export const cache: readonly Case[] = [
  ...cacheFormats.flatMap((format) => sizes.map((given) => attends(format, given))),
  ...notANumber,
]
