import * as ops from '../../../lib/ops/index.ts'
import type { AttentionOptions } from '../../../lib/ops/index.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, normal, values, type Case, type Input } from '../case.ts'

interface Sizes {
  readonly batch?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly queries: number
  readonly keys: number
  readonly dim?: number
  readonly valueDim?: number
}

const operands = (sizes: Sizes): { q: Input; k: Input; v: Input } => {
  const { batch = 1, heads = 2, kvHeads = heads, queries, keys, dim = 8, valueDim = dim } = sizes
  return {
    q: normal([batch, heads, queries, dim]),
    k: normal([batch, kvHeads, keys, dim]),
    v: normal([batch, kvHeads, keys, valueDim]),
  }
}

const causals = [false, true, 'start'] as const

const described = (sizes: Sizes): string =>
  Object.entries(sizes)
    .map(([name, size]) => `${name} ${size}`)
    .join(', ')

/** Blocks are 64 queries and 240 to 256 keys, backward 64 by 112 to 128; up to 4 queries are taken one by one. */
const sizes: readonly Sizes[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 17, 31, 33, 63, 64, 65, 129].flatMap((t) => [
    { queries: t, keys: t },
    { queries: t, keys: 19 },
    { queries: 9, keys: t },
  ]),
  ...[1, 2, 3, 15, 16, 17, 31, 33, 64, 65, 80, 128, 256].map((dim) => ({ queries: 9, keys: 21, dim })),
  ...[1, 3, 16, 40].map((valueDim) => ({ queries: 9, keys: 21, dim: 8, valueDim })),
  { batch: 2, heads: 6, kvHeads: 2, queries: 9, keys: 9 },
  { batch: 2, heads: 4, kvHeads: 1, queries: 3, keys: 33, dim: 16 },
  { heads: 1, queries: 9, keys: 300 },
  { heads: 1, queries: 2, keys: 300 },
  { heads: 3, queries: 130, keys: 258, dim: 16 },
  { queries: 0, keys: 7 },
  { queries: 7, keys: 0 },
  { batch: 0, queries: 7, keys: 7 },
]

const sizeCases = sizes.flatMap((size) =>
  causals.map((causal) =>
    define({
      name: `attention, ${described(size)}${causal ? `, causal ${causal}` : ''}`,
      inputs: operands(size),
      run: ({ q, k, v }) => ops.attention(q, k, v, { causal }),
      ulps: 8 + 2 * Math.sqrt(size.dim ?? 0),
      gradientUlps: 16 + 2 * Math.sqrt(size.dim ?? 0),
    }),
  ),
)

const lengthCases = causals.flatMap((causal) =>
  (
    [
      [{ batch: 4, queries: 7, keys: 20 }, [20, 1, 0, 13]],
      [{ batch: 3, queries: 33, keys: 33 }, [33, 32, 5]],
      [{ batch: 3, heads: 4, kvHeads: 2, queries: 2, keys: 150 }, [129, 0, 64]],
      [{ batch: 2, queries: 70, keys: 270 }, [257, 9]],
    ] as const
  ).map(([size, lengths]) =>
    define({
      name: `attention, ${described(size)}, key lengths ${lengths.join(', ')}${causal ? `, causal ${causal}` : ''}`,
      inputs: { ...operands(size), lengths: indices(lengths) },
      run: ({ q, k, v, lengths }) => ops.attention(q, k, v, { causal, keyLengths: lengths }),
      gradientUlps: 16,
    }),
  ),
)

/** [batch, length, heads · dim], as a projection makes it. */
const heads = (x: Tensor, count: number): Tensor =>
  ops.transpose(ops.reshape(x, [x.shape[0]!, -1, count, x.shape[2]! / count]), [0, 2, 1, 3])

const layoutCases = [
  define({
    name: 'attention on the heads of one projection, and back',
    inputs: { x: normal([2, 21, 3 * 24]) },
    run: ({ x }) => {
      const [q, k, v] = ops.split(x, 3).map((part) => heads(part, 3))
      return ops.reshape(ops.transpose(ops.attention(q!, k!, v!, { causal: true }), [0, 2, 1, 3]), [2, 21, 24])
    },
    gradientUlps: 16,
  }),
  define({
    name: 'attention on grouped heads of one projection, and back',
    inputs: { x: normal([1, 70, 8 * 16]) },
    run: ({ x }) => {
      const [q, k, v] = ops.split(x, [64, 32, 32])
      const o = ops.attention(heads(q!, 4), heads(k!, 2), heads(v!, 2), { causal: true })
      return ops.reshape(ops.transpose(o, [0, 2, 1, 3]), [1, 70, 64])
    },
    gradientUlps: 24,
  }),
  define({
    name: 'attention on transposed heads whose last dimension has gaps',
    inputs: { q: normal([1, 2, 8, 9]), k: normal([1, 2, 8, 11]), v: normal([1, 2, 8, 11]) },
    run: ({ q, k, v }) => ops.attention(ops.transpose(q), ops.transpose(k), ops.transpose(v)),
    gradientUlps: 16,
  }),
]

const valueCases = [
  define({
    name: 'attention with a scale of its own',
    inputs: operands({ queries: 9, keys: 17 }),
    run: ({ q, k, v }) => ops.attention(q, k, v, { scale: 0.7 }),
    gradientUlps: 16,
  }),
  define({
    name: 'attention with scale 0',
    inputs: operands({ queries: 9, keys: 17 }),
    run: ({ q, k, v }) => ops.attention(q, k, v, { scale: 0 }),
    gradientUlps: 16,
  }),
  define({
    name: 'attention with large scores',
    inputs: { q: normal([1, 2, 9, 8], 40), k: normal([1, 2, 300, 8], 40), v: normal([1, 2, 300, 8]) },
    run: ({ q, k, v }) => ops.attention(q, k, v),
    gradientUlps: 16,
    differences: false,
  }),
  define({
    name: 'attention never reads beyond the key lengths',
    inputs: {
      ...operands({ batch: 2, queries: 9, keys: 12 }),
      nothing: values([NaN], [2, 2, 7, 8]),
      lengths: indices([12, 5]),
    },
    run: ({ q, k, v, nothing, lengths }) => {
      const padded = (x: Tensor): Tensor => ops.concat([x, nothing], 2)
      return ops.attention(q, padded(k), padded(v), { keyLengths: lengths })
    },
    gradient: ['q', 'k', 'v'],
    gradientUlps: 16,
  }),
  define({
    name: 'attention with NaN in one query',
    inputs: { ...operands({ queries: 9, keys: 17 }), nan: values([NaN], [1, 2, 1, 8]) },
    run: ({ q, k, v, nan }) => ops.attention(ops.concat([q, nan], 2), k, v),
    gradient: [],
  }),
]

/** The rules by which a query sees keys and scores are changed, each by itself and together. */
const rules: Readonly<Record<string, Omit<AttentionOptions, 'bias' | 'alibiSlopes'> & { bias?: true; alibi?: true }>> =
  {
    'window 8': { window: 8 },
    'window 1': { window: 1 },
    'causal, window 5': { causal: true, window: 5 },
    'causal start, window 70': { causal: 'start', window: 70 },
    'window 3 and 40': { window: [3, 40] },
    'causal, window 0 and 0': { causal: true, window: [0, 0] },
    'soft cap': { softcap: 1.5 },
    slopes: { alibi: true },
    'causal, slopes': { causal: true, alibi: true },
    bias: { bias: true },
    'causal, window 20, soft cap, slopes, bias': { causal: true, window: 20, softcap: 2, alibi: true, bias: true },
    'window 30, soft cap, bias': { window: 30, softcap: 2, bias: true },
  }

const ruleCases = Object.entries(rules).flatMap(([name, { bias, alibi, ...options }]) =>
  (
    [
      [{ heads: 2, queries: 9, keys: 9 }, [2, 9, 9]],
      [{ batch: 2, heads: 4, kvHeads: 2, queries: 3, keys: 33, dim: 16 }, [1, 4, 3, 33]],
      [{ batch: 2, heads: 4, kvHeads: 2, queries: 1, keys: 33 }, [2, 4, 1, 33]],
      [{ heads: 2, queries: 70, keys: 300, dim: 16 }, [70, 300]],
      [{ batch: 2, heads: 2, queries: 200, keys: 130 }, [2, 1, 200, 130]],
      [{ heads: 2, kvHeads: 1, queries: 17, keys: 40, dim: 64 }, [2, 17, 40]],
      [{ heads: 1, queries: 15, keys: 30, dim: 80 }, [15, 30]],
      [{ heads: 2, queries: 9, keys: 35, dim: 128 }, [1, 2, 9, 35]],
      [{ heads: 1, queries: 14, keys: 33, dim: 256 }, [1, 1, 14, 33]],
    ] as const
  ).map(([size, biasShape]) =>
    define({
      name: `attention, ${described(size)}, ${name}`,
      inputs: {
        ...operands(size),
        ...(bias && { bias: normal(biasShape) }),
        ...(alibi && { slopes: values([0.5, 0.25, 0.0625, 0.03125], [size.heads]) }),
      },
      run: ({ q, k, v, bias: added, slopes: alibiSlopes }: Record<string, Tensor>) =>
        ops.attention(q!, k!, v!, {
          ...options,
          ...(added && { bias: added }),
          ...(alibiSlopes && { alibiSlopes }),
        }),
      gradient: ['q', 'k', 'v', ...(bias ? ['bias'] : [])],
      ulps: 16 + 2 * Math.sqrt('dim' in size ? size.dim : 0),
      gradientUlps: 32,
      // A mean of values around 0, some of them weighed by next to nothing.
      cancels: 0.1,
    }),
  ),
)

const hiddenCase = define({
  name: 'attention, a bias that hides keys, and all keys of a query',
  inputs: {
    ...operands({ queries: 9, keys: 40 }),
    bias: values(
      Array.from({ length: 360 }, (_, i) => (Math.floor(i / 40) === 4 || i % 3 === 0 ? -Infinity : (i % 7) / 4)),
      [9, 40],
    ),
  },
  run: ({ q, k, v, bias }) => ops.attention(q, k, v, { bias }),
  gradient: ['q', 'k', 'v'],
  gradientUlps: 16,
})

const lengthRuleCase = define({
  name: 'attention, key lengths and all rules',
  inputs: {
    ...operands({ batch: 3, heads: 2, queries: 70, keys: 70 }),
    bias: normal([1, 2, 70, 70]),
    slopes: values([0.5, 0.25]),
    lengths: indices([70, 33, 0]),
  },
  run: ({ q, k, v, bias, slopes: alibiSlopes, lengths }) =>
    ops.attention(q, k, v, { causal: 'start', window: 50, softcap: 3, bias, alibiSlopes, keyLengths: lengths }),
  gradient: ['q', 'k', 'v', 'bias'],
  gradientUlps: 32,
})

/** Packed sequences: none, one token, and several blocks of 64 queries; some rows after the last. */
const packedOffsets = [0, 3, 3, 4, 79, 240]
const packedKeyOffsets = [0, 5, 9, 9, 30, 301]
const packedCases = (
  [
    ['', {}, []],
    [', causal', { causal: true }, []],
    [', window 9', { window: 9 }, []],
    [', causal, keys by offsets of their own', { causal: true }, packedKeyOffsets],
    [', keys by offsets of their own, window 50', { window: 50 }, packedKeyOffsets],
  ] as const
).flatMap(([name, options, keyOffsets]) =>
  [2, 1].flatMap((kvHeads) =>
    [false, true].map((shaped) => {
      const own = keyOffsets.length > 0
      return define({
        name: `attention of packed sequences${name}, ${kvHeads} key-value heads${shaped ? ', bias, slopes' : ''}`,
        inputs: {
          ...operands({ heads: 2, kvHeads, queries: 245, keys: own ? 303 : 245, dim: 16 }),
          offsets: indices(packedOffsets),
          ...(own && { keyOffsets: indices(keyOffsets) }),
          ...(shaped && { bias: normal([2, 161, 271]), slopes: values([0.5, 0.25]) }),
        },
        run: ({ q, k, v, offsets, keyOffsets: keys, bias, slopes: alibiSlopes }: Record<string, Tensor>) =>
          ops.attention(q!, k!, v!, {
            ...options,
            offsets: offsets!,
            ...(keys && { keyOffsets: keys }),
            ...(bias && { bias }),
            ...(alibiSlopes && { alibiSlopes }),
          }),
        gradient: ['q', 'k', 'v', ...(shaped ? ['bias'] : [])],
        ulps: 16,
        gradientUlps: 32,
      })
    }),
  ),
)

const probabilityCases = (
  [
    [{ queries: 9, keys: 9 }, { causal: true }],
    [{ batch: 2, heads: 4, kvHeads: 2, queries: 1, keys: 33 }, {}],
    [{ queries: 70, keys: 300, dim: 16 }, { window: 40 }],
    [
      { queries: 70, keys: 300 },
      { causal: true, softcap: 2 },
    ],
    [{ queries: 0, keys: 7 }, {}],
    [{ queries: 7, keys: 0 }, {}],
  ] as const
).flatMap(([size, options]) => [
  define({
    name: `attention and its probabilities, ${described(size)}, ${JSON.stringify(options)}`,
    inputs: operands(size),
    run: ({ q, k, v }) => Object.values(ops.attentionWithProbabilities(q, k, v, options)),
    gradient: [],
    ulps: 16,
  }),
  define({
    name: `attention beside its probabilities, ${described(size)}, ${JSON.stringify(options)}`,
    inputs: operands(size),
    run: ({ q, k, v }) => ops.attentionWithProbabilities(q, k, v, options).output,
    ulps: 16,
    gradientUlps: 32,
  }),
])
const packedProbabilities = define({
  name: 'attention of packed sequences and its probabilities',
  inputs: {
    ...operands({ queries: 245, keys: 303, dim: 16 }),
    offsets: indices(packedOffsets),
    keyOffsets: indices(packedKeyOffsets),
  },
  run: ({ q, k, v, offsets, keyOffsets }) =>
    Object.values(ops.attentionWithProbabilities(q, k, v, { causal: true, offsets, keyOffsets })),
  gradient: [],
  ulps: 16,
})

const f32Cases: readonly Case[] = [
  ...sizeCases,
  ...lengthCases,
  ...layoutCases,
  ...valueCases,
  ...ruleCases,
  hiddenCase,
  lengthRuleCase,
  ...packedCases,
  ...probabilityCases,
  packedProbabilities,
]

/** What the formulas leave as it is, weights and dS, is rounded to bf16 on the way: 2⁻⁹ of each term of a sum. */
const bf16Cases = f32Cases.map((given): Case => ({
  ...given,
  name: `${given.name}, in bf16`,
  precision: 'bf16',
  rounding: false,
  ulps: 1.5 * 2 ** 14,
  // Of values, over all queries of a group of heads; of the others, dS being as large as dO · v.
  gradientUlps: 6 * 2 ** 14,
  cancels: 1,
  differences: false,
  // Rounding of scores in the thousands is what decides of their gradients.
  ...(given.name.includes('large scores') && { gradient: [] }),
}))

export const attention: readonly Case[] = [...f32Cases, ...bf16Cases]
