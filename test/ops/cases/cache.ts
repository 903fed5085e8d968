import * as ops from '../../../lib/ops/index.ts'
import { cacheFormats, QuantizedCache, quantizedCacheWords } from '../../../lib/ops/cache.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, normal, uniform, values, type Case, type Input } from '../case.ts'

/** A cache as an input: numbers, or the words that they are rounded to. */
export const emptyCache = (shape: Shape, format: ops.CacheFormat): Input => {
  if (format === 'f32') return normal(shape)
  const words = quantizedCacheWords(shape, format)
  return indices([0], words)
}
export const asCache = (x: Tensor, shape: Shape, format: ops.CacheFormat): Tensor | QuantizedCache =>
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
  readonly window?: number
  readonly softcap?: number
  readonly alibi?: boolean
  readonly bias?: boolean
}

function attends(format: ops.CacheFormat, sizes: Sizes): Case {
  const { batch = 1, heads = 2, kvHeads = heads, queries, capacity, dim = 8, valueDim = dim } = sizes
  const { lengths = Array.from({ length: batch }, () => capacity), causal, scale, window, softcap } = sizes
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
      ...((sizes.alibi && { slopes: uniform([heads], 0.01, 0.2) }) as { slopes: Input }),
      ...((sizes.bias && { bias: normal([heads, capacity]) }) as { bias: Input }),
    },
    run: ({ q, k, v, keys, values: held, start, keyLengths, slopes, bias }) => {
      const rows = (x: Tensor, d: number): Tensor =>
        ops.transpose(ops.reshape(x, [batch, longest, kvHeads, d]), [0, 2, 1, 3])
      return ops.cachedAttention(
        q,
        ops.cacheWrite(asCache(keys, keyShape, format), rows(k, dim), start),
        ops.cacheWrite(asCache(held, valueShape, format), rows(v, valueDim), start),
        {
          keyLengths,
          ...(causal !== undefined && { causal }),
          ...(scale !== undefined && { scale }),
          ...(window !== undefined && { window }),
          ...(softcap !== undefined && { softcap }),
          ...(sizes.alibi && { alibiSlopes: slopes }),
          ...(sizes.bias && { bias }),
        },
      )
    },
    gradient: [],
    ulps: 8 + 2 * Math.sqrt(dim),
    cancels: cancels(format),
  })
}

/** Values of about 1 are added up, and f64 runs can't change those that are words, to see what that costs. */
export const cancels = (format: ops.CacheFormat): number => (format === 'f32' ? 0 : 0.1)

/** Sequences of several lengths in the slots of a cache: their last `queries[s]` tokens, packed. */
function packed(
  format: ops.CacheFormat,
  name: string,
  sizes: {
    queries: readonly number[]
    lengths: readonly number[]
    capacity: number
    slots?: readonly number[]
    cacheRows?: number
    kvHeads?: number
    spare?: number
    window?: number
    bias?: boolean
  },
): Case {
  const { queries, lengths, capacity, slots, kvHeads = 2, spare = 0, window } = sizes
  const [heads, dim, count] = [4, 16, queries.length]
  const { cacheRows = count } = sizes
  const tokens = queries.reduce((sum, n) => sum + n, 0) + spare
  const offsetsOf = (counts: readonly number[]): Input => {
    const offsets = counts.reduce<number[]>((all, n) => [...all, all.at(-1)! + n], [0])
    return indices(offsets)
  }
  const stored = lengths.reduce((sum, n) => sum + n, 0)
  const shape = [cacheRows, kvHeads, capacity, dim]
  return define({
    name: `cachedAttention ${format}, packed, ${name}`,
    inputs: {
      q: normal([tokens, heads * dim]),
      k: normal([stored, kvHeads * dim]),
      v: normal([stored, kvHeads * dim]),
      keys: emptyCache(shape, format),
      values: emptyCache(shape, format),
      starts: indices(lengths.map(() => 0)),
      stored: offsetsOf(lengths),
      offsets: offsetsOf(queries),
      keyLengths: indices(lengths),
      ...((slots && { slots: indices(slots) }) as { slots: Input }),
      ...((sizes.bias && { bias: normal([heads, capacity]) }) as { bias: Input }),
    },
    run: ({ q, k, v, keys, values: held, starts, stored: storedOffsets, offsets, keyLengths, slots: given, bias }) => {
      const rows = (x: Tensor): Tensor => ops.transpose(ops.reshape(x, [1, x.shape[0]!, -1, dim]), [0, 2, 1, 3])
      const where = { ...(slots && { slots: given }) }
      const write = (cache: Tensor, x: Tensor): Tensor | QuantizedCache =>
        ops.cacheWrite(asCache(cache, shape, format), rows(x), starts, { offsets: storedOffsets, ...where })
      return ops.cachedAttention(rows(q), write(keys, k), write(held, v), {
        keyLengths,
        offsets,
        ...where,
        ...(window !== undefined && { window }),
        ...(sizes.bias && { bias }),
      })
    },
    gradient: [],
    ulps: 16,
    cancels: cancels(format),
  })
}

const copies = (format: ops.CacheFormat): Case =>
  define({
    name: `cacheCopy ${format}`,
    inputs: {
      x: normal([4, 2, 23, 5]),
      cache: emptyCache([4, 2, 23, 5], format),
      zero: indices([0], []),
      from: indices([2, 2, 0]),
      to: indices([3, 1, 0]),
      lengths: indices([17, 23, 0]),
    },
    run: ({ x, cache: empty, zero, from, to, lengths }) => {
      const held = ops.cacheWrite(asCache(empty, [4, 2, 23, 5], format), x, zero)
      const copied = ops.cacheCopy(held, { from, to, lengths })
      return ops.cachedAttention(x, copied, copied, { keyLengths: ops.fill([4], 23, 'i32') })
    },
    gradient: [],
  })

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
  // What changes scores; each streamed and by many queries.
  ...[1, 3, 40].flatMap((queries) => [
    { queries, capacity: 140, window: 1 },
    { queries, capacity: 300, window: 100, lengths: [290] },
    { queries, capacity: 140, softcap: 2, scale: 1 },
    { queries, capacity: 140, alibi: true, heads: 4, kvHeads: 2 },
    { queries, capacity: 140, bias: true, heads: 4, kvHeads: 2, lengths: [131] },
    { queries, capacity: 140, bias: true, alibi: true, softcap: 5, window: 70, lengths: [20] },
  ]),
  { batch: 2, heads: 1, queries: 1, capacity: 2700, dim: 256, lengths: [2651, 700], window: 300 },
  // More heads that share keys than rows go together.
  { heads: 37, kvHeads: 1, queries: 1, capacity: 150, alibi: true },
  { heads: 37, kvHeads: 1, queries: 2, capacity: 70 },
  { queries: 5, capacity: 12, lengths: [3], bias: true },
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

/** Rounded only where there are more queries than are streamed; the f64 loops leave what they multiply as it is. */
const inBf16 = cacheFormats.flatMap((format) =>
  [
    { queries: 40, capacity: 140, dim: 16 },
    { batch: 2, heads: 4, kvHeads: 2, queries: 40, capacity: 140, lengths: [140, 41], softcap: 2 },
  ].map((sizes): Case => {
    const given = attends(format, sizes)
    const bounds = { rounding: false, ulps: 3 * 2 ** 14, cancels: 1 } as const
    return { ...given, ...bounds, name: `${given.name}, in bf16`, precision: 'bf16' }
  }),
)

export const cache: readonly Case[] = [
  ...inBf16,
  ...cacheFormats.flatMap((format) => sizes.map((given) => attends(format, given))),
  ...cacheFormats.flatMap((format) => [
    packed(format, 'of one token each', { queries: [1, 1, 1], lengths: [5, 140, 33], capacity: 150 }),
    packed(format, 'ragged', { queries: [1, 0, 40, 3, 1], lengths: [9, 7, 60, 3, 1], capacity: 61 }),
    packed(format, 'in slots', {
      queries: [2, 20, 1],
      lengths: [30, 21, 1],
      capacity: 33,
      slots: [4, 0, 2],
      cacheRows: 5,
    }),
    packed(format, 'with spare rows', { queries: [2, 1], lengths: [30, 21], capacity: 33, spare: 3, cacheRows: 6 }),
    packed(format, 'of no tokens', { queries: [0, 0], lengths: [3, 4], capacity: 33 }),
    packed(format, 'in a window', { queries: [2, 30, 1], lengths: [80, 31, 1], capacity: 90, window: 20 }),
    packed(format, 'with a bias', { queries: [2, 30, 1], lengths: [80, 31, 1], capacity: 90, bias: true, kvHeads: 4 }),
    copies(format),
  ]),
  ...notANumber,
]
