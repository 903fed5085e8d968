import { activations } from '../../../lib/ops/elementwise.ts'
import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, normal, text, uniform, values, type Case, type Input } from '../case.ts'

/** Vectors have 4, 8 or 16 lanes. */
const sizes = [0, 1, 3, 7, 8, 15, 16, 17, 33, 127]
/** Two threads take part above 16,384 elements, whichever the function. */
const large = 20_011

const positive = (shape: Shape): Input => uniform(shape, 0.1, 4)
const wide = (shape: Shape): Input => normal(shape, 4)

const extremes = [
  NaN, Infinity, -Infinity, 0, -0, 1, -1, 1e-30, -1e-30, 1e-3, -1e-3, 20, -20, 88, -87, 90, -90, 1e4, -1e4, 1e30, -1e30,
  3.4e38, -3.4e38,
] // prettier-ignore

interface Unary extends Pick<Case, 'exact' | 'ulps' | 'gradientUlps' | 'differences'> {
  readonly op: (x: Tensor) => Tensor
  /** Numbers away from the poles of the function; standard normal ones unless said. */
  readonly input?: (shape: Shape) => Input
}

const unary: Readonly<Record<string, Unary>> = {
  negate: { op: ops.negate, exact: true },
  absolute: { op: ops.absolute, exact: true },
  square: { op: ops.square, exact: true },
  squareRoot: { op: ops.squareRoot, input: positive, exact: true },
  reciprocalSquareRoot: { op: ops.reciprocalSquareRoot, input: positive },
  reciprocal: { op: ops.reciprocal, input: positive, exact: true },
  exp: { op: ops.exp, input: wide },
  log: { op: ops.log, input: positive },
  sine: { op: ops.sine, input: wide },
  cosine: { op: ops.cosine, input: wide },
  erf: { op: ops.erf },
  sign: { op: ops.sign, exact: true, differences: false },
  relu: { op: ops.relu, exact: true },
  gelu: { op: ops.gelu, input: wide },
  // The derivative has 1 − σ, as PyTorch's.
  geluTanh: { op: ops.geluTanh, input: wide, gradientUlps: 16 },
  silu: { op: ops.silu, input: wide, gradientUlps: 16 },
  sigmoid: { op: ops.sigmoid, input: wide },
  tanh: { op: ops.tanh, input: wide },
}

const unaryCases = Object.entries(unary).flatMap(([name, { op, input = normal, ...options }]) => [
  ...sizes.map((n) =>
    define({ name: `${name} [${n}]`, inputs: { x: input([n]) }, run: ({ x }) => op(x), ulps: 4, ...options }),
  ),
  define({
    name: `${name} of a transposed slice`,
    inputs: { x: input([5, 37, 9]) },
    run: ({ x }) => op(ops.transpose(ops.slice(x, 1, 3, 34))),
    ulps: 4,
    ...options,
  }),
  define({
    name: `${name} of NaN, infinities and extremes`,
    inputs: { x: values(extremes) },
    run: ({ x }) => op(x),
    gradient: [],
    ulps: 4,
    ...options,
  }),
])

interface Binary extends Pick<Case, 'exact' | 'gradient'> {
  readonly op: (a: ops.Operand, b: ops.Operand) => Tensor
  readonly input?: (shape: Shape) => Input
}

const binary: Readonly<Record<string, Binary>> = {
  add: { op: ops.add, exact: true },
  subtract: { op: ops.subtract, exact: true },
  multiply: { op: ops.multiply, exact: true },
  divide: { op: ops.divide, input: positive, exact: true },
  power: { op: ops.power, input: positive },
  maximum: { op: ops.maximum, exact: true },
  minimum: { op: ops.minimum, exact: true },
  greater: { op: ops.greater, exact: true, gradient: [] },
  greaterEqual: { op: ops.greaterEqual, exact: true, gradient: [] },
  equal: { op: ops.equal, exact: true, gradient: [] },
}

const broadcasts: readonly (readonly [Shape, Shape])[] = [
  [[], []],
  [[5], []],
  [[], [17]],
  [[3, 17], [17]],
  [[17], [3, 17]],
  [
    [33, 1],
    [1, 31],
  ],
  [
    [4, 1, 7],
    [5, 1],
  ],
  [
    [2, 3, 4, 5],
    [3, 1, 5],
  ],
  [[0, 3], [3]],
  [
    [150, 129],
    [150, 1],
  ],
  [[129], [150, 129]],
]

const binaryCases = Object.entries(binary).flatMap(([name, { op, input = normal, ...options }]) => [
  ...sizes.map((n) =>
    define({
      name: `${name} [${n}]`,
      inputs: { a: input([n]), b: input([n]) },
      run: ({ a, b }) => op(a, b),
      ...options,
    }),
  ),
  ...broadcasts.map(([a, b]) =>
    define({
      name: `${name} ${text(a)} ${text(b)}`,
      inputs: { a: input(a), b: input(b) },
      run: (x) => op(x.a, x.b),
      ...options,
    }),
  ),
  define({
    name: `${name} of a transposed and a sliced operand`,
    inputs: { a: input([4, 19, 33]), b: input([4, 40, 19]) },
    run: ({ a, b }) => op(ops.transpose(a), ops.slice(b, 1, 7)),
    ...options,
  }),
  define({
    name: `${name} with a number`,
    inputs: { x: input([37]) },
    run: ({ x }) => [op(x, 2.5), op(2.5, x)],
    ...(options as Pick<Case, 'exact'>),
  }),
  define({
    name: `${name} of every pair of NaN, infinities and extremes`,
    inputs: { a: values(extremes, [extremes.length, 1]), b: values(extremes) },
    run: ({ a, b }) => op(a, b),
    ...options,
    gradient: [],
  }),
  define({
    name: `${name} of equal and ordered whole numbers`,
    inputs: { a: values([1, 2, 3, 2]), b: values([2, 2, 1, 3]) },
    run: ({ a, b }) => op(a, b),
    ...options,
    rounding: false,
    differences: false,
  }),
])

const gatedCases = (Object.keys(activations) as ops.Activation[]).flatMap((activation) => [
  ...sizes.map((n) =>
    define({
      name: `gated by ${activation} [${n}]`,
      inputs: { gate: normal([n], 2), up: normal([n]) },
      run: ({ gate, up }) => ops.gated(activation, gate, up),
      gradientUlps: 16,
    }),
  ),
  define({
    name: `gated by ${activation}, both halves of one tensor`,
    inputs: { x: normal([5, 2 * 19], 2) },
    run: ({ x }) => {
      const [gate, up] = ops.split(x, 2)
      return ops.gated(activation, gate!, up!)
    },
    gradientUlps: 16,
  }),
])

const castCases = [
  define({
    name: 'cast to i32 and back',
    inputs: { x: values([0, 0.99, -0.99, 2.5, -2.5, 1e9, -1e9, 3e9, -3e9, 1e30, NaN, Infinity, -Infinity], [3, 13]) },
    run: ({ x }, dtype) => [ops.cast(x, 'i32'), ops.cast(ops.cast(x, 'i32'), dtype)],
    gradient: [],
    rounding: false,
  }),
  ...sizes.map((n) =>
    define({
      name: `cast [${n}] to f64 and back`,
      inputs: { x: normal([n]) },
      run: ({ x }, dtype) => ops.cast(ops.square(ops.cast(x, 'f64')), dtype),
    }),
  ),
  define({
    name: 'cast of a transposed slice',
    inputs: { x: normal([6, 21, 11]) },
    run: ({ x }, dtype) => ops.cast(ops.cast(ops.transpose(ops.slice(x, 1, 2, 20)), 'f64'), dtype),
    exact: true,
  }),
]

/** Halfway between two bfloat16, next to that; beyond the largest; denormal; no number. */
const hard = [1, 1 + 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -8 - 2 ** -20, 1 + 3 * 2 ** -8, -1.005, 3.4e38, -3.4e38]
const odd = [0, -0, Infinity, -Infinity, NaN, 1e-40, -1e-40, 2 ** -149, 2 ** -126]

const bf16Cases = [
  define({
    name: 'cast to bf16 and back',
    inputs: { x: values([...hard, ...odd], [3, 37]) },
    run: ({ x }, dtype) => [ops.cast(x, 'bf16'), ops.cast(ops.cast(x, 'bf16'), dtype)],
    gradient: [],
    exact: true,
  }),
  ...[...sizes, large].map((n) =>
    define({
      name: `cast [${n}] to bf16 and back`,
      inputs: { x: normal([n]) },
      run: ({ x }, dtype) => ops.cast(ops.cast(x, 'bf16'), dtype),
      differences: false,
      exact: true,
    }),
  ),
  define({
    name: 'views and parts of bf16',
    inputs: { x: normal([6, 21, 11]) },
    run: ({ x }, dtype) => {
      const half = ops.cast(x, 'bf16')
      const turned = ops.transpose(ops.slice(half, 1, 2, 19))
      const [left, right] = ops.split(ops.concat([turned, ops.pad(turned, 2, 0, 3)], 2), [9, 28])
      return [left!, ops.reshape(right!, [-1])].map((part) => ops.cast(part, dtype))
    },
    differences: false,
    exact: true,
  }),
  define({
    name: 'cast of a transposed slice to bf16',
    inputs: { x: normal([6, 21, 11]) },
    run: ({ x }, dtype) => ops.cast(ops.cast(ops.transpose(ops.slice(x, 1, 2, 20)), 'bf16'), dtype),
    differences: false,
    exact: true,
  }),
]

const fillCases = [[], [0], [1], [7], [3, 17], [large]].map((shape) =>
  define({ name: `fill ${text(shape)}`, inputs: {}, run: (_, dtype) => ops.fill(shape, 0.1, dtype), rounding: false }),
)

const largeCases = [
  define({ name: `gelu [${large}]`, inputs: { x: normal([large]) }, run: ({ x }) => ops.gelu(x) }),
  define({
    name: `add [${large}]`,
    inputs: { a: normal([large]), b: normal([large]) },
    run: ({ a, b }) => ops.add(a, b),
  }),
  define({
    name: `gated by silu [${large}]`,
    inputs: { gate: normal([large]), up: normal([large]) },
    run: ({ gate, up }) => ops.swiglu(gate, up),
    gradientUlps: 16,
  }),
  define({
    name: `cast [${large}] to f64 and back`,
    inputs: { x: normal([large]) },
    run: ({ x }, dtype) => ops.cast(ops.cast(x, 'f64'), dtype),
    exact: true,
  }),
]

export const elementwise: readonly Case[] = [
  ...unaryCases,
  ...binaryCases,
  ...gatedCases,
  ...castCases,
  ...bf16Cases,
  ...fillCases,
  ...largeCases,
]
