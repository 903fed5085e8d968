import * as ops from '../../../lib/ops/index.ts'
import { cacheFormats } from '../../../lib/ops/cache.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, normal, uniform, type Case, type Input } from '../case.ts'
import { asCache, cancels, emptyCache } from './cache.ts'

interface Sizes {
  readonly batch?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly length: number
  readonly dim?: number
  readonly pairs?: number
}

/** Positions far apart, of each sequence its own or of all. */
const positionsOf = (length: number, batch = 0): Input => {
  const shape = batch ? [batch, length] : [length]
  return indices(
    Array.from({ length: length * Math.max(1, batch) }, (_, i) => (7 * i) % 1000),
    shape,
  )
}

const attends = (
  name: string,
  sizes: Sizes,
  options: ops.AttentionOptions & { ownPositions?: boolean; interleaved?: boolean; offsets?: never } = {},
  offsets?: readonly number[],
): Case => {
  const { batch = 1, heads = 2, kvHeads = heads, length, dim = 16, pairs = dim >> 1 } = sizes
  const { ownPositions, interleaved = false, ...rules } = options
  return define({
    name: `attention of turned queries and keys, ${JSON.stringify(sizes)}${name}`,
    inputs: {
      q: normal([batch, heads, length, dim]),
      k: normal([batch, kvHeads, length, dim]),
      v: normal([batch, kvHeads, length, dim]),
      positions: positionsOf(length, ownPositions ? batch : 0),
      frequencies: uniform([pairs], 1e-3, 1),
      ...((offsets && { offsets: indices(offsets) }) as { offsets: Input }),
    },
    run: ({ q, k, v, positions, frequencies, offsets: given }) => {
      const turn = (x: Tensor): Tensor => ops.rotaryEmbedding(x, positions, frequencies, { interleaved, scale: 1.25 })
      return ops.attention(turn(q), turn(k), v, { ...rules, ...(offsets && { offsets: given }) })
    },
    gradient: ['q', 'k', 'v'],
    ulps: 16,
    gradientUlps: 32,
  })
}

/** Keys are packed by 16 or 32, queries by 64. */
const plain: readonly Case[] = [
  ...[1, 2, 5, 15, 16, 17, 33, 65, 130].map((length) => attends(', causal', { length }, { causal: true })),
  ...[2, 33].flatMap((length) => [
    attends('', { length, heads: 4, kvHeads: 2, dim: 40, pairs: 11 }),
    attends(', interleaved', { length, dim: 20 }, { interleaved: true }),
    attends(', positions by sequence', { length, batch: 3, heads: 4, kvHeads: 1 }, { ownPositions: true }),
  ]),
  attends(', negative scale', { length: 33 }, { scale: -0.3 }),
  attends(', large heads', { length: 35, dim: 256 }, { window: 5 }),
  attends(', nothing is turned', { length: 9, pairs: 0 }),
  attends(', packed', { length: 150, heads: 4, kvHeads: 2 }, { causal: true }, [0, 3, 3, 80, 148]),
]

const inBf16 = plain.map((given): Case => ({
  ...given,
  name: `${given.name}, in bf16`,
  precision: 'bf16',
  // Turned in f32, a number may be rounded to bf16 otherwise than turned in f64.
  rounding: false,
  ulps: 3 * 2 ** 14,
  cancels: 1,
  gradient: [],
  differences: false,
}))

/** Queries are few enough to be streamed, or many; sequences in slots. */
const cached = cacheFormats.flatMap((format) =>
  [
    { queries: [1, 1], lengths: [33, 140], heads: 4, kvHeads: 4, interleaved: false },
    { queries: [1, 1], lengths: [33, 140], heads: 8, kvHeads: 2, interleaved: true },
    { queries: [2, 40, 3], lengths: [30, 60, 3], heads: 4, kvHeads: 2, interleaved: false },
  ].map(({ queries, lengths, heads, kvHeads, interleaved }) => {
    const [dim, capacity] = [20, 150]
    const shape = [lengths.length, kvHeads, capacity, dim]
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
    const offsetsOf = (counts: readonly number[]): Input =>
      indices(counts.reduce<number[]>((all, n) => [...all, all.at(-1)! + n], [0]))
    return define({
      name: `cachedAttention ${format} of turned queries and keys, ${JSON.stringify({ queries, heads, kvHeads, interleaved })}`,
      inputs: {
        q: normal([1, heads, sum(queries), dim]),
        k: normal([1, kvHeads, sum(lengths), dim]),
        v: normal([1, kvHeads, sum(lengths), dim]),
        keys: emptyCache(shape, format),
        values: emptyCache(shape, format),
        starts: indices(lengths.map(() => 0)),
        stored: offsetsOf(lengths),
        offsets: offsetsOf(queries),
        keyLengths: indices(lengths),
        queryPositions: positionsOf(sum(queries)),
        keyPositions: positionsOf(sum(lengths)),
        frequencies: uniform([8], 1e-3, 1),
      },
      run: (t) => {
        const turn = (x: Tensor, positions: Tensor): Tensor =>
          ops.rotaryEmbedding(x, positions, t.frequencies, { interleaved })
        const write = (cache: Tensor, x: Tensor): ReturnType<typeof asCache> =>
          ops.cacheWrite(asCache(cache, shape, format), x, t.starts, { offsets: t.stored })
        return ops.cachedAttention(
          turn(t.q, t.queryPositions),
          write(t.keys, turn(t.k, t.keyPositions)),
          write(t.values, t.v),
          { keyLengths: t.keyLengths, offsets: t.offsets },
        )
      },
      gradient: [],
      ulps: 16,
      cancels: cancels(format),
    })
  }),
)

/** Rotary embeddings that rewrites take into what reads them. */
export const turnedAttention: readonly Case[] = [...plain, ...inBf16, ...cached]
