import { grad } from '../../lib/ops/gradients.ts'
import * as ops from '../../lib/ops/index.ts'
import { fromBfloat16, toBfloat16 } from '../../lib/tensor/bfloat16.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { indices, integers, normal, uniform, values, type Input } from './case.ts'

/** Gives a number as it would be stored. */
export type Round = (x: number) => number
type Numbers = ArrayLike<number>

/** An operation beside the loop that its formula says, every intermediate result rounded. */
export interface PlainLoop {
  readonly name: string
  readonly inputs: Readonly<Record<string, Input>>
  op(inputs: Readonly<Record<string, Tensor>>): Tensor
  loop(inputs: Readonly<Record<string, Numbers>>, r: Round): number[]
}

const define = <K extends string>(given: {
  name: string
  inputs: Readonly<Record<K, Input>>
  op(inputs: Readonly<Record<K, Tensor>>): Tensor
  loop(inputs: Readonly<Record<K, Numbers>>, r: Round): number[]
}): PlainLoop => given as unknown as PlainLoop

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const rows = (x: Numbers, n: number): number[][] =>
  range(x.length / n).map((i) => Array.prototype.slice.call(x, i * n, (i + 1) * n))
const sum = (x: readonly number[], r: Round): number => x.reduce((s, v) => r(s + v), 0)
const dot = (a: readonly number[], b: readonly number[], r: Round): number =>
  a.reduce((s, v, i) => r(s + r(v * b[i]!)), 0)
const column = (x: readonly number[][], j: number): number[] => x.map((row) => row[j]!)

function lse(x: readonly number[], r: Round): number {
  const max = Math.max(...x)
  return r(
    max +
      r(
        Math.log(
          sum(
            x.map((v) => r(Math.exp(r(v - max)))),
            r,
          ),
        ),
      ),
  )
}

function softmax(x: readonly number[], r: Round): number[] {
  const max = Math.max(...x)
  const e = x.map((v) => r(Math.exp(r(v - max))))
  const total = sum(e, r)
  return e.map((v) => r(v / total))
}

function distances(x: readonly number[], center: boolean, r: Round): number[] {
  const mean = center ? r(sum(x, r) / x.length) : 0
  return x.map((v) => r(v - mean))
}
function inverseDeviation(x: readonly number[], center: boolean, r: Round): number {
  const d = distances(x, center, r)
  return r(1 / r(Math.sqrt(r(r(dot(d, d, r) / x.length) + r(1e-5)))))
}
function normalise(x: readonly number[], center: boolean, r: Round): number[] {
  const rstd = inverseDeviation(x, center, r)
  return distances(x, center, r).map((v) => r(v * rstd))
}

/** erf in double precision. */
function erf(x: number): number {
  using y = ops.erf(fromData(Float64Array.of(x)))
  return y.data()[0]!
}

/** Functions of one number, as they are written down. */
const functions: Readonly<Record<string, [(x: Tensor) => Tensor, (x: number, r: Round) => number]>> = {
  exp: [ops.exp, (x, r) => r(Math.exp(x))],
  erf: [ops.erf, (x, r) => r(erf(x))],
  tanh: [ops.tanh, (x, r) => r(Math.tanh(x))],
  sigmoid: [ops.sigmoid, (x, r) => r(1 / r(1 + r(Math.exp(-x))))],
  silu: [ops.silu, (x, r) => r(x / r(1 + r(Math.exp(-x))))],
  gelu: [ops.gelu, (x, r) => r(r(r(0.5) * x) * r(1 + r(erf(r(x * r(Math.SQRT1_2))))))],
  geluTanh: [
    ops.geluTanh,
    (x, r) => {
      const u = r(r(Math.sqrt(2 / Math.PI)) * r(x + r(r(0.044715) * r(r(x * x) * x))))
      return r(r(r(0.5) * x) * r(1 + r(Math.tanh(u))))
    },
  ],
}
const gradientOf = (f: () => Tensor, wrt: Tensor, weights: Tensor): Tensor =>
  grad(() => ops.sum(ops.multiply(f(), weights)), wrt)({})

const [batch, heads, kvHeads, queries, keys, dim] = [2, 4, 2, 37, 45, 24]

export const plainLoops: readonly PlainLoop[] = [
  define({
    name: 'matmul [9,769] by [769,40]',
    inputs: { a: normal([9, 769]), b: normal([769, 40]) },
    op: ({ a, b }) => ops.matmul(a, b),
    loop: ({ a, b }, r) => {
      const [left, right] = [rows(a, 769), rows(b, 40)]
      return left.flatMap((row) => range(40).map((j) => dot(row, column(right, j), r)))
    },
  }),
  define({
    name: 'matmul in bf16 [9,769] by [769,40]',
    inputs: { a: normal([9, 769]), b: normal([769, 40]) },
    op: ({ a, b }) => ops.matmul(a, b, { precision: 'bf16' }),
    loop: ({ a, b }, r) => {
      const bf16 = (x: Numbers): number[] => Array.from(x, (v) => fromBfloat16(toBfloat16(v)))
      const [left, right] = [rows(bf16(a), 769), rows(bf16(b), 40)]
      return left.flatMap((row) => range(40).map((j) => dot(row, column(right, j), r)))
    },
  }),
  define({
    name: 'matmul [3,769] by [40,769]ᵀ',
    inputs: { a: normal([3, 769]), b: normal([40, 769]) },
    op: ({ a, b }) => ops.matmul(a, ops.transpose(b)),
    loop: ({ a, b }, r) => rows(a, 769).flatMap((row) => rows(b, 769).map((other) => dot(row, other, r))),
  }),
  define({
    name: 'attention, causal, grouped heads, key lengths',
    inputs: {
      q: normal([batch, heads, queries, dim], 2),
      k: normal([batch, kvHeads, keys, dim]),
      v: normal([batch, kvHeads, keys, dim]),
      lengths: indices([keys, 30]),
    },
    op: ({ q, k, v, lengths }) => ops.attention(q, k, v, { causal: true, keyLengths: lengths }),
    loop: ({ q, k, v, lengths }, r) => {
      const [q2, k2, v2] = [rows(q, dim), rows(k, dim), rows(v, dim)]
      const scale = r(1 / Math.sqrt(dim))
      return q2.flatMap((query, row) => {
        const [b, h, i] = [Math.floor(row / (heads * queries)), Math.floor(row / queries) % heads, row % queries]
        const first = (b * kvHeads + Math.floor(h / (heads / kvHeads))) * keys
        const length = lengths[b]!
        const seen = range(Math.max(0, Math.min(length, i + length - queries + 1)))
        const p = softmax(
          seen.map((j) => r(dot(query, k2[first + j]!, r) * scale)),
          r,
        )
        return range(dim).map((d) =>
          dot(
            p,
            seen.map((j) => v2[first + j]![d]!),
            r,
          ),
        )
      })
    },
  }),
  define({
    name: 'softmax [20,301]',
    inputs: { x: normal([20, 301], 3) },
    op: ({ x }) => ops.softmax(x),
    loop: ({ x }, r) => rows(x, 301).flatMap((row) => softmax(row, r)),
  }),
  define({
    name: 'logSoftmax [20,301]',
    inputs: { x: normal([20, 301], 3) },
    op: ({ x }) => ops.logSoftmax(x),
    loop: ({ x }, r) =>
      rows(x, 301).flatMap((row) => {
        const total = lse(row, r)
        return row.map((v) => r(v - total))
      }),
  }),
  define({
    name: 'layerNorm [20,301]',
    inputs: { x: uniform([20, 301], 2, 4), weight: normal([301]), bias: normal([301]) },
    op: ({ x, weight, bias }) => ops.layerNorm(x, weight, bias),
    loop: ({ x, weight, bias }, r) =>
      rows(x, 301).flatMap((row) => normalise(row, true, r).map((v, i) => r(r(v * weight[i]!) + bias[i]!))),
  }),
  define({
    name: 'rmsNorm [20,301]',
    inputs: { x: uniform([20, 301], 2, 4), weight: normal([301]) },
    op: ({ x, weight }) => ops.rmsNorm(x, weight),
    loop: ({ x, weight }, r) =>
      rows(x, 301).flatMap((row) => normalise(row, false, r).map((v, i) => r(v * weight[i]!))),
  }),
  define({
    name: 'crossEntropy [20,301], smoothing 0.1',
    inputs: { logits: normal([20, 301], 3), targets: integers([20], 0, 301) },
    op: ({ logits, targets }) => ops.crossEntropy(logits, targets, { labelSmoothing: 0.1, reduction: 'none' }),
    loop: ({ logits, targets }, r) =>
      rows(logits, 301).map((row, i) => {
        const total = lse(row, r)
        const mean = r(sum(row, r) / 301)
        return r(r(r(0.9) * r(total - row[targets[i]!]!)) + r(r(0.1) * r(total - mean)))
      }),
  }),
  define({
    name: 'sum over rows and over columns [40,301]',
    inputs: { x: uniform([40, 301], 0, 1) },
    op: ({ x }) => ops.concat([ops.sum(x, { axis: 1 }), ops.sum(x, { axis: 0 })]),
    loop: ({ x }, r) => {
      const x2 = rows(x, 301)
      return [...x2.map((row) => sum(row, r)), ...range(301).map((j) => sum(column(x2, j), r))]
    },
  }),
  ...Object.entries(functions).map(([name, [op, f]]) =>
    define({
      name: `${name} [1000]`,
      inputs: { x: normal([1000], 3) },
      op: ({ x }) => op(x),
      loop: ({ x }, r) => Array.from(x, (v) => f(v, r)),
    }),
  ),
  ...(['silu', 'gelu'] as const).map((name) =>
    define({
      name: `gated by ${name} [1000]`,
      inputs: { gate: normal([1000], 3), up: normal([1000]) },
      op: ({ gate, up }) => (name === 'silu' ? ops.swiglu(gate, up) : ops.geglu(gate, up)),
      loop: ({ gate, up }, r) => Array.from(gate, (v, i) => r(functions[name]![1](v, r) * up[i]!)),
    }),
  ),
  define({
    name: 'gradient of silu [1000]',
    inputs: { x: normal([1000], 3), g: normal([1000]) },
    op: ({ x, g }) => gradientOf(() => ops.silu(x), x, g),
    loop: ({ x, g }, r) =>
      Array.from(x, (v, i) => {
        const s = r(1 / r(1 + r(Math.exp(-v))))
        return r(g[i]! * r(s * r(1 + r(v * r(1 - s)))))
      }),
  }),
  define({
    name: 'gradient of softmax [20,301]',
    inputs: { x: normal([20, 301], 3), g: normal([20, 301]) },
    op: ({ x, g }) => gradientOf(() => ops.softmax(x), x, g),
    loop: ({ x, g }, r) =>
      rows(x, 301).flatMap((row, i) => {
        const [y, dy] = [softmax(row, r), rows(g, 301)[i]!]
        const along = dot(y, dy, r)
        return y.map((v, j) => r(v * r(dy[j]! - along)))
      }),
  }),
  ...[true, false].map((center) =>
    define({
      name: `gradient of ${center ? 'layerNorm' : 'rmsNorm'} [20,301]`,
      inputs: { x: uniform([20, 301], 2, 4), weight: normal([301]), g: normal([20, 301]) },
      op: ({ x, weight, g }) => gradientOf(() => (center ? ops.layerNorm(x, weight) : ops.rmsNorm(x, weight)), x, g),
      loop: ({ x, weight, g }, r) =>
        rows(x, 301).flatMap((row, i) => {
          const normal = normalise(row, center, r)
          const rstd = inverseDeviation(row, center, r)
          const dy = rows(g, 301)[i]!.map((v, j) => r(v * weight[j]!))
          const [mean, along] = [center ? r(sum(dy, r) / 301) : 0, r(dot(dy, normal, r) / 301)]
          return dy.map((v, j) => r(rstd * r(r(v - mean) - r(normal[j]! * along))))
        }),
    }),
  ),
  define({
    name: 'layerNorm of a sum [20,301]',
    inputs: { x: uniform([20, 301], 2, 4), y: normal([20, 301]) },
    op: ({ x, y }) => ops.layerNorm(ops.add(x, y)),
    loop: ({ x, y }, r) =>
      rows(x, 301).flatMap((row, i) =>
        normalise(
          row.map((v, j) => r(v + rows(y, 301)[i]![j]!)),
          true,
          r,
        ),
      ),
  }),
  define({
    name: 'gradient of crossEntropy [20,301]',
    inputs: { logits: normal([20, 301], 3), targets: integers([20], 0, 301) },
    op: ({ logits, targets }) => grad(() => ops.crossEntropy(logits, targets), logits)({}),
    loop: ({ logits, targets }, r) =>
      rows(logits, 301).flatMap((row, i) =>
        softmax(row, r).map((p, j) => r(r(p - (j === targets[i] ? 1 : 0)) * r(1 / 20))),
      ),
  }),
  define({
    name: 'linearCrossEntropy [9,64] by [301,64]ᵀ: gradient of the states',
    inputs: { hidden: normal([9, 64]), weight: normal([301, 64], 0.3), targets: integers([9], 0, 301) },
    op: ({ hidden, weight, targets }) => grad(() => ops.linearCrossEntropy(hidden, weight, targets), hidden)({}),
    loop: ({ hidden, weight, targets }, r) => {
      const w = rows(weight, 64)
      return rows(hidden, 64).flatMap((row, i) => {
        const p = softmax(
          w.map((other) => dot(row, other, r)),
          r,
        )
        const d = p.map((v, j) => r(r(v - (j === targets[i] ? 1 : 0)) * r(1 / 9)))
        return range(64).map((k) => dot(d, column(w, k), r))
      })
    },
  }),
  define({
    name: 'rotaryEmbedding [1,2,40,16]',
    inputs: { x: normal([1, 2, 40, 16]), positions: integers([40], 0, 2000), frequencies: uniform([8], 0, 1) },
    op: ({ x, positions, frequencies }) => ops.rotaryEmbedding(x, positions, frequencies),
    loop: ({ x, positions, frequencies }, r) =>
      rows(x, 16).flatMap((row, i) =>
        row.map((v, j) => {
          // Angles of thousands in f32 would not tell much: they are computed in f64 by both.
          const angle = positions[i % 40]! * frequencies[j % 8]!
          const [c, s] = [r(Math.cos(angle)), r(Math.sin(angle))]
          return j < 8 ? r(r(v * c) - r(row[j + 8]! * s)) : r(r(v * c) + r(row[j - 8]! * s))
        }),
      ),
  }),
  define({
    name: 'adamWStep [1000]',
    inputs: {
      p: normal([1000]),
      g: normal([1000]),
      m: normal([1000], 0.1),
      v: uniform([1000], 0, 0.1),
      learningRate: values([1e-3], []),
      step: indices([3], []),
    },
    op: ({ p, g, m, v, learningRate, step }) => ops.adamWStep(p, { gradient: g, m, v, learningRate, step }),
    loop: ({ p, g, m, v, learningRate }, r) => {
      const lr = learningRate[0]!
      return Array.from(p, (x, i) => {
        const first = r(r(r(0.9) * m[i]!) + r(r(1 - 0.9) * g[i]!))
        const second = r(r(r(0.999) * v[i]!) + r(r(1 - 0.999) * r(g[i]! * g[i]!)))
        const [mean, size] = [r(first / r(1 - 0.9 ** 3)), r(Math.sqrt(r(second / r(1 - 0.999 ** 3))))]
        return r(r(x * r(1 - lr * 0.01)) - r(r(lr * mean) / r(size + r(1e-8))))
      })
    },
  }),
]
