import * as ops from '../../lib/ops/index.ts'
import { fromBfloat16, toBfloat16 } from '../../lib/tensor/bfloat16.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { indices, integers, normal, uniform, type Input } from './case.ts'

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

function normalise(x: readonly number[], center: boolean, r: Round): number[] {
  const mean = center ? r(sum(x, r) / x.length) : 0
  const d = x.map((v) => r(v - mean))
  const rstd = r(1 / r(Math.sqrt(r(r(dot(d, d, r) / x.length) + r(1e-5)))))
  return d.map((v) => r(v * rstd))
}

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
  define({
    name: 'silu [1000]',
    inputs: { x: normal([1000], 3) },
    op: ({ x }) => ops.silu(x),
    loop: ({ x }, r) => Array.from(x, (v) => r(v / r(1 + r(Math.exp(-v))))),
  }),
]
