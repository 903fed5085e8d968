import * as ops from '../../../lib/ops/index.ts'
import { bytesInRow, packedColumns, packRows } from '../../../lib/ops/packed-rows.ts'
import { weightFormats } from '../../../lib/ops/quantize.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, integers, normal, text, values, type Case, type Input } from '../case.ts'

/** The matrix as it lies in memory. */
const layouts: Readonly<Record<string, { stored(k: number, n: number): Shape; view(x: Tensor): Tensor }>> = {
  plain: { stored: (k, n) => [k, n], view: (x) => x },
  transposed: { stored: (k, n) => [n, k], view: (x) => ops.transpose(x) },
  window: { stored: (k, n) => [k + 2, n + 5], view: (x) => ops.slice(ops.slice(x, 0, 1, -1), 1, 3, -2) },
}

/** Rounding is that of k terms one after another: it grows with √k beyond what the operands' rounding costs. */
const ulpsFor = (k: number): number => 4 + Math.sqrt(k)

/** Pairs of bfloat16 take the left operand at 2⁻⁹ instead of 2⁻²⁴; the rest of `ulps` is for sums, which stay f32. */
const coarserFor = (format: ops.WeightFormat): Pick<Case, 'coarser'> =>
  format === 'bf16' ? { coarser: { avx512_bf16: 2 ** 15, neon_bf16: 2 ** 15 } } : {}

/**
 * Formats of integers round the left operand to 127 levels on either side of 0, too. These are such levels, every third
 * one the last, so that any part of a row of three and more holds it: rounding changes none, and the rest of the product
 * is held to what f32 can do. What rounding costs is in quantize.test.ts.
 */
const levels = (shape: Shape): Input => {
  const every = shape.at(-1) === 2 ? 2 : 3
  const level = (i: number): number => (i % every === 0 ? (i % 4 ? 127 : -127) : ((i * 7919) % 255) - 127)
  return values(
    Array.from({ length: 6 * 997 }, (_, i) => level(i) / 32),
    shape,
  )
}
const integerFormats: readonly ops.WeightFormat[] = ['int8', 'q8_0', 'q4_0']
const leftFor = (format: ops.WeightFormat, shape: Shape): Input =>
  integerFormats.includes(format) ? levels(shape) : normal(shape)

function product(format: ops.WeightFormat, x: Shape, n: number, layout = 'transposed'): Case {
  const k = x.at(-1)!
  const { stored, view } = layouts[layout]!
  return define({
    name: `matmul ${text(x)} by ${format} [${k},${n}] ${layout}`,
    inputs: { x: leftFor(format, x), w: normal(stored(k, n)) },
    run: ({ x, w }) => ops.matmul(x, ops.quantize(view(w), format)),
    gradient: ['x'],
    ulps: ulpsFor(k),
    // Four samples tell what rounding costs; for some of 300,000 elements that is too little.
    gradientUlps: 1.25 * ulpsFor(n),
    ...coarserFor(format),
  })
}

/** Tiles have up to 14 rows, panels 32 columns; up to 8 rows go panel by panel; steps have 1, 2, 4 or 32 terms. */
const edges = [0, 1, 2, 3, 8, 9, 14, 15, 31, 32, 33, 65]

const productCases = weightFormats.flatMap((format) => [
  ...edges.flatMap((s) => [
    product(format, [s, 18], 35),
    product(format, [5, s], 40),
    product(format, [17, s], 20, 'plain'),
    product(format, [10, 7], s),
  ]),
  product(format, [40, 30], 50, 'window'),
  // Blocks of k and of rows; row strides that compete for the same cache sets, which are copied.
  product(format, [4, 1537], 70),
  product(format, [30, 1537], 70),
  product(format, [180, 400], 70, 'plain'),
  product(format, [300, 1024], 40),
  // Batches: one long product, or not.
  product(format, [2, 3, 9], 40),
  product(format, [4, 1, 21], 33),
  product(format, [2, 0, 9], 11),
])

/** What follows a product is no level of anything. */
const secondOf = (format: ops.WeightFormat): ops.WeightFormat => (integerFormats.includes(format) ? 'f32' : format)

const operandCases = weightFormats.flatMap((format) => [
  define({
    name: `matmul of a transposed operand and of parts of rows by ${format}`,
    inputs: { x: leftFor(format, [21, 11]), w: normal([21, 34]), w2: normal([34, 5]) },
    run: ({ x, w, w2 }) => {
      const wide = ops.matmul(ops.transpose(x), ops.quantize(w, format))
      return ops.matmul(wide, ops.quantize(w2, secondOf(format)))
    },
    gradient: ['x'],
    ulps: 16,
    ...coarserFor(format),
  }),
  define({
    name: `matmul of a batch of parts of rows by ${format}`,
    inputs: { x: leftFor(format, [3, 4, 40]), w: normal([21, 34]) },
    run: ({ x, w }) => ops.matmul(ops.slice(ops.slice(x, 2, 3, 24), 1, 0, 3), ops.quantize(w, format)),
    gradient: ['x'],
    ...coarserFor(format),
  }),
  ...[1, 9].map((m) =>
    define({
      name: `matmul of ${m} rows by ${format} with bias and gelu, twice`,
      inputs: { x: leftFor(format, [m, 21]), w: normal([21, 37], 0.3), b: normal([37]), w2: normal([37, 18], 0.3) },
      run: ({ x, w, b, w2 }) => {
        const hidden = ops.matmul(x, ops.quantize(w, format), { bias: b, activation: 'gelu' })
        return ops.matmul(hidden, ops.quantize(w2, secondOf(format)), {
          bias: ops.slice(b, 0, 0, 18),
          activation: 'silu',
        })
      },
      gradient: ['x', 'b'],
      ulps: 16,
      ...coarserFor(format),
    }),
  ),
])

/** Gated layers of packed matrices, of two or of a joined one. 1,537 terms: rows of more than one block without a gate. */
const gatedCases = weightFormats.flatMap((format) => [
  ...[
    [1, 21, 40],
    [8, 21, 75],
    [9, 21, 40],
    [33, 70, 130],
    [150, 1537, 34],
    [0, 5, 7],
    [5, 0, 7],
  ].map(([m, k, n]) =>
    define({
      name: `[${m},${k}] by ${format} [${k},${n}] gated by silu`,
      inputs: {
        x: leftFor(format, [m!, k!]),
        g: normal([n!, k!], 0.3),
        w: normal([k!, n!], 0.3),
        b: normal([n!]),
      },
      run: ({ x, g, w, b }) =>
        ops.gated(
          'silu',
          ops.matmul(x, ops.quantize(ops.transpose(g), format)),
          ops.matmul(x, ops.quantize(w, format), { bias: b }),
        ),
      // The backward pass has no gate in a product; that of long rows says only how steep silu is.
      gradient: k! > 1000 ? [] : ['x'],
      ulps: 2 * ulpsFor(k!),
      gradientUlps: 2 * ulpsFor(Math.max(m!, n!)),
      ...coarserFor(format),
    }),
  ),
  define({
    name: `a batch of parts of rows by a joined matrix in ${format} gated by gelu`,
    inputs: { x: leftFor(format, [2, 3, 40]), w: normal([21, 128], 0.3), b: normal([128]) },
    run: ({ x, w, b }) => {
      const [gate, up] = ops.split(ops.matmul(ops.slice(x, 2, 3, 24), ops.quantize(w, format), { bias: b }), 2)
      return ops.gated('gelu', gate!, up!)
    },
    gradient: ['x', 'b'],
    ulps: 16,
    ...coarserFor(format),
  }),
])

/** Between two bfloat16, halfway, next to halfway; beyond the largest; what is no number. */
const hard = [1, 1 + 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -8 - 2 ** -20, 1 + 3 * 2 ** -8, -1.005, 3.4e38, -3.4e38]
const odd = [0, -0, Infinity, -Infinity, NaN, 1e-40, -1e-40, 2 ** -149, 2 ** -126]

const roundTrips = weightFormats.flatMap((format) =>
  [
    { name: 'rounding', inputs: { w: values([...hard, ...odd], [17, 5]) } },
    { name: 'packing', inputs: { w: normal([130, 67]) } },
    { name: 'no rows', inputs: { w: normal([0, 67]) } },
    { name: 'no columns', inputs: { w: normal([9, 0]) } },
  ].map(({ name, inputs }) =>
    define({
      name: `quantize and dequantize ${format}: ${name}`,
      inputs,
      run: ({ w }, dtype) => ops.dequantize(ops.quantize(w, format), dtype),
      gradient: [],
      exact: true,
    }),
  ),
)

/** Words of a file with any bits: scales and numbers that are not finite or denormal, too. */
const fileWords = (count: number): Input => integers([count], -(2 ** 31), 2 ** 31)

const fileRows = weightFormats.flatMap((format) =>
  [
    [0, 5],
    [32, 0],
    [32, 1],
    [64, 33],
    [96, 70],
    [7, 35],
  ].flatMap(([k, n]) => {
    const bytes = bytesInRow[format](k!)
    if (bytes === undefined) return []
    return define({
      name: `rows of a file with ${n} times ${k} numbers in ${format}`,
      inputs: { rows: fileWords(Math.ceil((bytes * n!) / 4)) },
      run: ({ rows }, dtype) => ops.dequantize(packRows(rows, [k!, n!], format), dtype),
      gradient: [],
      exact: true,
    })
  }),
)

const columnCases = weightFormats.flatMap((format) => [
  ...[1, 2, 31, 33, 130].map((k) =>
    define({
      name: `columns of ${k} numbers in ${format}, again and again`,
      inputs: { w: normal([k, 67]), ids: indices([66, 0, 31, 32, 32, 64], [2, 3]) },
      run: ({ w, ids }, dtype) => packedColumns(ops.quantize(w, format), ids, dtype),
      gradient: [],
      exact: true,
    }),
  ),
  define({
    name: `one column, none, many in ${format}`,
    inputs: { w: normal([160, 40]), one: indices([3], []), none: indices([], [0]), many: integers([300], 0, 40) },
    run: ({ w, one, none, many }, dtype) =>
      [one, none, many].map((ids) => packedColumns(ops.quantize(w, format), ids, dtype)),
    gradient: [],
    exact: true,
  }),
])

export const quantize: readonly Case[] = [
  ...productCases,
  ...operandCases,
  ...gatedCases,
  ...roundTrips,
  ...fileRows,
  ...columnCases,
]
