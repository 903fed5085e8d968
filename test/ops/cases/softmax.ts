import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import { define, normal, text, values, type Case } from '../case.ts'

const columns = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000]
const shapes: readonly Shape[] = [...columns.map((n) => [5, n]), [0, 16], [17], [2, 3, 4, 33], [150, 130]]

const functions = {
  softmax: { op: ops.softmax },
  // ln Σ exp of what lies around 0.
  logSoftmax: { op: ops.logSoftmax, cancels: 1 },
} as const

export const softmax: readonly Case[] = Object.entries(functions).flatMap(([name, { op, ...options }]) => [
  ...shapes.map((shape) =>
    define({ name: `${name} ${text(shape)}`, inputs: { x: normal(shape, 3) }, run: ({ x }) => op(x), ...options }),
  ),
  define({
    name: `${name} over other axes`,
    inputs: { x: normal([7, 18, 9], 3) },
    run: ({ x }) => [op(x, { axis: 0 }), op(x, { axis: 1 })],
    ...options,
  }),
  define({
    name: `${name} of a slice`,
    inputs: { x: normal([7, 40, 18], 3) },
    run: ({ x }) => op(ops.slice(ops.slice(x, 1, 1, 36), 2, 1)),
    ...options,
  }),
  define({
    name: `${name} of extreme logits`,
    inputs: {
      x: values([1e4, -1e4, 0, 1e4, -1e4, -1e4, -1e4, -1e4, 3e38, 1, 2, 3], [3, 4]),
      masked: values([-Infinity, 0, 1, 2, -Infinity, -Infinity, -Infinity, 5], [2, 4]),
    },
    run: ({ x, masked }) => [op(x), op(masked)],
    gradient: [],
  }),
  define({
    name: `${name} with NaN, with infinity, with nothing but −infinity`,
    inputs: {
      x: values([NaN, 1, 2, 3, 1, 2, 3, NaN, Infinity, 1, 2, 3, -Infinity, -Infinity, -Infinity, -Infinity], [4, 4]),
    },
    run: ({ x }) => op(x),
    gradient: [],
  }),
])
