import * as ops from '../../../lib/ops/index.ts'
import { define, indices, normal, uniform, type Case } from '../case.ts'

const rotaryCases = [false, true].flatMap((interleaved) => [
  ...(
    [
      [2, 1],
      [8, 4],
      [9, 4],
      [16, 8],
      [30, 15],
      [34, 17],
      [64, 32],
      [66, 33],
      [128, 64],
      [40, 8],
      [5, 0],
    ] as const
  ).map(([dim, frequencies]) =>
    define({
      name: `rotaryEmbedding, ${frequencies} frequencies of ${dim} elements${interleaved ? ', interleaved' : ''}`,
      inputs: {
        x: normal([2, 3, 5, dim]),
        positions: indices([0, 1, 7, 100, 2047]),
        frequencies: uniform([frequencies], 1e-4, 1),
      },
      run: ({ x, positions, frequencies }) => ops.rotaryEmbedding(x, positions, frequencies, { interleaved }),
      gradient: ['x'],
    }),
  ),
  define({
    name: `rotaryEmbedding, positions by sequence, heads side by side${interleaved ? ', interleaved' : ''}`,
    inputs: {
      x: normal([2, 4, 3 * 16]),
      positions: indices([3, 4, 5, 6, 0, 1, 2, 3], [2, 4]),
      frequencies: uniform([8], 1e-4, 1),
    },
    run: ({ x, positions, frequencies }) => {
      const heads = ops.transpose(ops.reshape(x, [2, 4, 3, 16]), [0, 2, 1, 3])
      return ops.transpose(ops.rotaryEmbedding(heads, positions, frequencies, { interleaved }), [0, 2, 1, 3])
    },
    gradient: ['x'],
  }),
  define({
    name: `rotaryEmbedding, scaled${interleaved ? ', interleaved' : ''}`,
    inputs: { x: normal([1, 2, 5, 40]), positions: indices([0, 1, 7, 100, 2047]), frequencies: uniform([12], 1e-4, 1) },
    run: ({ x, positions, frequencies }) =>
      ops.rotaryEmbedding(x, positions, frequencies, { interleaved, scale: 1.25 }),
    gradient: ['x'],
  }),
  define({
    name: `rotaryEmbedding of many rows${interleaved ? ', interleaved' : ''}`,
    inputs: {
      x: normal([2, 4, 130, 32]),
      positions: indices(Array.from({ length: 130 }, (_, i) => i)),
      frequencies: uniform([16], 1e-4, 1),
    },
    run: ({ x, positions, frequencies }) => ops.rotaryEmbedding(x, positions, frequencies, { interleaved }),
    gradient: ['x'],
  }),
  define({
    name: `rotaryEmbedding of nothing${interleaved ? ', interleaved' : ''}`,
    inputs: { x: normal([2, 3, 0, 8]), positions: indices([], [0]), frequencies: uniform([4], 1e-4, 1) },
    run: ({ x, positions, frequencies }) => ops.rotaryEmbedding(x, positions, frequencies, { interleaved }),
    gradient: ['x'],
  }),
])

const cacheCases = (
  [
    [1, 0],
    [1, 11],
    [5, 3],
    [12, 0],
    [0, 12],
  ] as const
).flatMap(([length, at]) =>
  [1, 16, 33].map((dim) =>
    define({
      name: `cacheWrite of ${length} rows of ${dim} at ${at}`,
      inputs: { cache: normal([2, 3, 12, dim]), x: normal([2, length, 3, dim]), position: indices([at], []) },
      run: ({ cache, x, position }) => ops.cacheWrite(cache, ops.transpose(x, [0, 2, 1, 3]), position),
      gradient: [],
      exact: true,
    }),
  ),
)

const largeCacheCase = define({
  name: 'cacheWrite of many rows',
  inputs: { cache: normal([2, 4, 70, 48]), x: normal([2, 4, 60, 48]), position: indices([9], []) },
  run: ({ cache, x, position }) => ops.cacheWrite(cache, x, position),
  gradient: [],
  exact: true,
})

export const position: readonly Case[] = [...rotaryCases, ...cacheCases, largeCacheCase]
