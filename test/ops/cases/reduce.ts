import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, normal, text, values, type Case } from '../case.ts'

/** Shape and axes: inner, outer and middle ones, none and all. */
const reductions: readonly (readonly [Shape, readonly number[] | undefined])[] = [
  [[], undefined],
  [[1], undefined],
  [[0], undefined],
  ...[2, 7, 8, 15, 16, 17, 31, 33, 63, 65, 127, 129].flatMap((n) => [
    [[n], undefined] as const,
    [[5, n], [1]] as const,
    [[n, 5], [0]] as const,
    [[3, n, 7], [1]] as const,
    [[6, n], [0]] as const,
  ]),
  [[4, 5, 6], []],
  [[4, 5, 6], [0, 2]],
  [[4, 5, 6], [0, 1]],
  [[2, 3, 4, 5], [1, 3]],
  [[0, 5], [1]],
  [[0, 5], [0]],
  [[3, 1, 7], [1]],
  [[2, 1100], [0]],
  [[260, 130], undefined],
  [[260, 130], [0]],
  [[260, 130], [1]],
  [[70_001], undefined],
] // prettier-ignore

const functions = {
  sum: ops.sum,
  mean: ops.mean,
  max: ops.max,
  min: ops.min,
} as const

const extremum = (name: string): boolean => name === 'max' || name === 'min'
const count = (shape: Shape): number => shape.reduce((a, b) => a * b, 1)

export const reduce: readonly Case[] = Object.entries(functions).flatMap(([name, op]) => [
  ...reductions.map(([shape, axis]) =>
    define({
      name: `${name} of ${text(shape)} over ${axis ? text(axis) : 'all'}`,
      inputs: { x: normal(shape) },
      run: ({ x }) => op(x, axis && { axis }),
      ulps: 4 + Math.sqrt(count(shape)) / 4,
      // The gradient compares elements with the result.
      ...(extremum(name) && { rounding: false as const, exact: true }),
    }),
  ),
  ...(
    [
      [[0], (x: Tensor) => ops.transpose(x)],
      [[1], (x: Tensor) => ops.slice(x, 1, 3, -2)],
      [[0, 2], (x: Tensor) => ops.transpose(x, [1, 0, 2])],
      [[1], (x: Tensor) => ops.transpose(x, [2, 1, 0])],
    ] as const
  ).map(([axis, view], i) =>
    define({
      name: `${name} of view ${i}, dimensions kept`,
      inputs: { x: normal([9, 20, 18]) },
      run: ({ x }) => op(view(x), { axis, keepDims: true }),
      ...(extremum(name) && { rounding: false as const, exact: true }),
    }),
  ),
  define({
    name: `${name} of NaN and infinities`,
    inputs: {
      x: values([NaN, 1, 2, 3, Infinity, 1, 2, 3, -Infinity, 1, 2, 3, Infinity, -Infinity, 1, 2, 0, -0, 0, -0], [5, 4]),
      long: values([1, 2, 3, 4, 5, 6, 7, 8, 9, NaN, 11, 12, 13], [39]),
    },
    run: ({ x, long }) => [op(x, { axis: 1 }), op(x, { axis: 0 }), op(long)],
    gradient: [],
  }),
  define({
    name: `${name} of equal elements`,
    inputs: { x: values([1, 3, 3, 2, 3, 1, 1], [4, 7]) },
    run: ({ x }) => op(x, { axis: 1 }),
    rounding: false,
    differences: false,
  }),
])
