import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import { define, normal, text, uniform, values, type Case } from '../case.ts'

const columns = [1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 768]
const shapes: readonly Shape[] = [...columns.map((n) => [5, n]), [0, 16], [3, 0], [17], [2, 3, 33], [150, 130]]

const layerNormCases = shapes.flatMap((shape) => {
  const n = shape.at(-1)!
  return [
    define({
      name: `layerNorm ${text(shape)}`,
      inputs: { x: normal(shape), weight: normal([n]), bias: normal([n]) },
      run: ({ x, weight, bias }) => ops.layerNorm(x, weight, bias),
    }),
    define({
      name: `rmsNorm ${text(shape)}`,
      inputs: { x: normal(shape), weight: normal([n]) },
      run: ({ x, weight }) => ops.rmsNorm(x, weight, { epsilon: 1e-6 }),
    }),
  ]
})

const optionCases = [
  define({
    name: 'layerNorm without weight and bias, rmsNorm without weight',
    inputs: { x: normal([4, 37]) },
    run: ({ x }) => [ops.layerNorm(x), ops.rmsNorm(x)],
  }),
  define({
    name: 'layerNorm with weight alone',
    inputs: { x: normal([4, 37]), weight: normal([37]) },
    run: ({ x, weight }) => ops.layerNorm(x, weight),
  }),
  define({
    name: 'layerNorm of numbers far from 0, of tiny and of huge ones',
    inputs: { far: uniform([3, 50], 1000, 1001), tiny: normal([3, 50], 1e-15), huge: normal([3, 50], 1e15) },
    run: ({ far, tiny, huge }) => [ops.layerNorm(far), ops.layerNorm(tiny), ops.layerNorm(huge), ops.rmsNorm(huge)],
    differences: false,
  }),
  define({
    name: 'layerNorm and rmsNorm of rows of equal numbers',
    inputs: { x: values([0, 1, -3], [3, 1]), zero: normal([3, 40], 0) },
    run: ({ x, zero }) => {
      const rows = ops.add(ops.broadcastTo(x, [3, 40]), zero)
      return [ops.layerNorm(rows), ops.rmsNorm(rows)]
    },
    rounding: false,
    cancels: 1000, // the mean, times rstd = 1/√ε
    gradient: [],
  }),
  define({
    name: 'layerNorm and rmsNorm with NaN in one row',
    inputs: { x: values([1, 2, 3, 4, NaN, 6, 7, 8, 9], [3, 3]) },
    run: ({ x }) => [ops.layerNorm(x), ops.rmsNorm(x)],
    gradient: [],
  }),
  define({
    name: 'layerNorm of rows inside a larger tensor',
    inputs: { x: normal([4, 3, 90]), weight: normal([33]), bias: normal([33]) },
    run: ({ x, weight, bias }) => {
      const rows = ops.transpose(ops.slice(x, 2, 5, 38), [1, 0, 2])
      return [ops.layerNorm(rows, weight, bias), ops.rmsNorm(rows, weight)]
    },
  }),
  define({
    name: 'layerNorm of a transposed tensor',
    inputs: { x: normal([33, 6]) },
    run: ({ x }) => ops.layerNorm(ops.transpose(x)),
  }),
]

/** x + f(norm(x)): the sum and its norm are one pass, forward and backward. */
const residualCases = [1, 16, 33, 129].flatMap((n) => [
  define({
    name: `layerNorm of a residual sum [7,${n}]`,
    inputs: { x: normal([7, n]), y: normal([7, n]), weight: normal([n]), bias: normal([n]) },
    run: ({ x, y, weight, bias }) => {
      const sum = ops.add(x, y)
      return ops.add(sum, ops.tanh(ops.layerNorm(sum, weight, bias)))
    },
    gradientUlps: 16,
  }),
  define({
    name: `rmsNorm of a residual sum [7,${n}]`,
    inputs: { x: normal([7, n]), y: normal([7, n]), weight: normal([n]) },
    run: ({ x, y, weight }) => {
      const sum = ops.add(x, y)
      return ops.add(sum, ops.tanh(ops.rmsNorm(sum, weight)))
    },
    gradientUlps: 16,
  }),
])

export const norm: readonly Case[] = [...layerNormCases, ...optionCases, ...residualCases]
