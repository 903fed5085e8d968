import { activations } from '../../../lib/ops/elementwise.ts'
import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, normal, text, type Case } from '../case.ts'

/** Tiles are 14 × 32, 6 × 16 and smaller; up to 4, 8 or 16 rows are matrix-vector products. */
const edges = [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129]

/** Rounding is that of k terms one after another: it grows with √k beyond what the operands' rounding costs. */
const ulpsFor = (k: number): number => 4 + Math.sqrt(k)

/** The operands as they lie in memory: transposed, or a window of a larger matrix. */
const layouts: Readonly<Record<string, { stored(m: number, n: number): Shape; view(x: Tensor): Tensor }>> = {
  plain: { stored: (m, n) => [m, n], view: (x) => x },
  transposed: { stored: (m, n) => [n, m], view: (x) => ops.transpose(x) },
  window: { stored: (m, n) => [m + 2, n + 5], view: (x) => ops.slice(ops.slice(x, 0, 1, -1), 1, 3, -2) },
}

function product(m: number, k: number, n: number, layoutA: string, layoutB: string): Case {
  const [a, b] = [layouts[layoutA]!, layouts[layoutB]!]
  return define({
    name: `matmul [${m},${k}] ${layoutA} by [${k},${n}] ${layoutB}`,
    inputs: { a: normal(a.stored(m, k)), b: normal(b.stored(k, n)) },
    run: (x) => ops.matmul(a.view(x.a), b.view(x.b)),
    ulps: ulpsFor(k),
    gradientUlps: ulpsFor(Math.max(m, n)),
  })
}

const forms = [
  ['plain', 'plain'],
  ['plain', 'transposed'],
  ['transposed', 'plain'],
  ['transposed', 'transposed'],
] as const

const edgeCases = forms.flatMap(([a, b]) =>
  edges.flatMap((s) => [product(s, 18, 19, a, b), product(17, s, 20, a, b), product(21, 7, s, a, b)]),
)

/** Several blocks of rows and groups of panels; row strides that compete for the same cache sets, which are copied. */
const blockedCases = [
  product(180, 400, 20, 'plain', 'plain'),
  product(33, 400, 300, 'plain', 'plain'),
  product(20, 400, 600, 'plain', 'transposed'),
  product(20, 1024, 40, 'plain', 'plain'),
  product(20, 1024, 40, 'plain', 'transposed'),
  product(1024, 20, 17, 'transposed', 'plain'),
  product(20, 18, 1024, 'plain', 'transposed'),
].map((given) => ({ ...given, gradient: [] }))

const largeCases = [
  ...forms.flatMap(([a, b]) => [product(150, 40, 130, a, b), product(15, 769, 35, a, b), product(4, 1537, 20, a, b)]),
  product(1, 1537, 60, 'plain', 'transposed'),
  product(8, 300, 77, 'plain', 'transposed'),
  ...[1, 2, 3, 4].map((m) => product(m, 39, 1100, 'plain', 'plain')),
  product(3, 39, 150, 'window', 'window'),
  product(29, 1537, 34, 'plain', 'plain'),
  product(40, 30, 50, 'window', 'window'),
  product(5, 30, 50, 'window', 'window'),
  product(40, 30, 50, 'window', 'transposed'),
  product(40, 30, 50, 'transposed', 'window'),
]

const batchCases = (
  [
    [
      [3, 7, 9],
      [3, 9, 11],
    ],
    [
      [3, 7, 9],
      [9, 11],
    ],
    [
      [7, 9],
      [3, 9, 11],
    ],
    [
      [2, 1, 7, 9],
      [5, 9, 11],
    ],
    [
      [2, 3, 1, 9],
      [2, 3, 9, 11],
    ],
    [
      [4, 1, 20],
      [20, 33],
    ],
    [
      [0, 7, 9],
      [9, 11],
    ],
    [
      [2, 3, 33, 16],
      [2, 1, 16, 40],
    ],
    [
      [2, 2, 2, 2, 5, 6],
      [2, 6, 7],
    ],
  ] as const
).flatMap(([a, b]) => [
  define({
    name: `matmul ${text(a)} by ${text(b)}`,
    inputs: { a: normal(a), b: normal(b) },
    run: (x) => ops.matmul(x.a, x.b),
  }),
  define({
    name: `matmul ${text(a)} by ${text(b)} from transposed memory`,
    inputs: { a: normal(swapLast(a)), b: normal(swapLast(b)) },
    run: (x) => ops.matmul(ops.transpose(x.a), ops.transpose(x.b)),
  }),
])

/** Heads of attention: a batch that lies inside the rows. */
const headCases = [
  define({
    name: 'matmul of heads that lie side by side',
    inputs: { q: normal([2, 9, 3 * 8]), k: normal([2, 13, 3 * 8]) },
    run: ({ q, k }) => {
      const heads = (x: Tensor): Tensor => ops.transpose(ops.reshape(x, [2, -1, 3, 8]), [0, 2, 1, 3])
      return ops.matmul(heads(q), ops.transpose(heads(k)))
    },
  }),
]

const epilogueCases = [undefined, ...(Object.keys(activations) as ops.Activation[])].flatMap((activation) =>
  [1, 3, 9, 33].map((m) =>
    define({
      name: `matmul of ${m} rows with bias and ${activation ?? 'no activation'}, twice`,
      inputs: {
        x: normal([m, 21]),
        w: normal([21, 37], 0.3),
        b: normal([37]),
        w2: normal([37, 18], 0.3),
        b2: normal([18]),
      },
      run: ({ x, w, b, w2, b2 }) => {
        const hidden = ops.matmul(x, w, { bias: b, ...(activation && { activation }) })
        return ops.matmul(hidden, w2, { bias: b2 })
      },
      gradientUlps: 16,
    }),
  ),
)

const biasCases = [
  define({
    name: 'matmul of a batch with bias',
    inputs: { x: normal([2, 5, 21]), w: normal([30, 21]), b: normal([30]) },
    run: ({ x, w, b }) => ops.matmul(x, ops.transpose(w), { bias: b, activation: 'relu' }),
  }),
  define({
    name: 'matmul over no terms gives the bias',
    inputs: { x: normal([3, 0]), w: normal([0, 19]), b: normal([19]) },
    run: ({ x, w, b }) => ops.matmul(x, w, { bias: b, activation: 'silu' }),
  }),
  define({
    name: 'matmul written into parts of a concatenation',
    inputs: { x: normal([9, 7]), w: normal([7, 17]), w2: normal([7, 20]) },
    run: ({ x, w, w2 }) => ops.concat([ops.matmul(x, w), ops.matmul(x, w2)], 1),
  }),
]

/** Operands stored in bf16: their products are exact in f32, so that only sums round. */
const bf16Cases = forms.flatMap(([layoutA, layoutB]) =>
  [
    [5, 18, 35],
    [40, 33, 50],
    [150, 41, 130],
    [15, 769, 35],
  ].flatMap(([m, k, n]) => {
    const [a, b] = [layouts[layoutA]!, layouts[layoutB]!]
    return (['a', 'b', 'both'] as const).map((which) =>
      define({
        name: `matmul [${m},${k}] ${layoutA} by [${k},${n}] ${layoutB}, ${which} in bf16`,
        inputs: { a: normal(a.stored(m!, k!)), b: normal(b.stored(k!, n!)) },
        run: (x, dtype) => {
          // In f64 the numbers are widened: the result has the dtype of the other operand.
          const store = (t: Tensor, is: boolean): Tensor => {
            if (!is) return t
            const stored = ops.cast(t, 'bf16')
            return dtype === 'f64' ? ops.cast(stored, dtype) : stored
          }
          return ops.matmul(a.view(store(x.a, which !== 'b')), b.view(store(x.b, which !== 'a')))
        },
        ulps: ulpsFor(k!),
        gradientUlps: ulpsFor(Math.max(m!, n!)),
        // Changes of the operands are lost when they are stored in bf16, so what sums cost is said: they grow to √k.
        cancels: Math.sqrt(Math.max(m!, k!, n!)),
        differences: false,
      }),
    )
  }),
)

/**
 * Operands rounded to bf16 while they are packed, in every layout. Rounding falls on one side or the other where a
 * gradient that was computed in f32 is rounded too, so gradients are compared where it comes from outside.
 */
const roundedCases = [
  ...forms.flatMap(([a, b]) =>
    [
      ...edges.flatMap((s) => [
        [s, 18, 19],
        [17, s, 20],
        [21, 7, s],
      ]),
      [150, 40, 130],
      [15, 1537, 35],
      [300, 1025, 70],
      [33, 400, 300],
      [20, 3200, 40],
    ].map(([m, k, n]) => rounded(m!, k!, n!, a, b)),
  ),
  rounded(40, 31, 50, 'window', 'window'),
  rounded(40, 31, 50, 'transposed', 'window'),
  define({
    name: 'matmul in bf16 of a batch with bias and gelu',
    inputs: { x: normal([3, 5, 21]), w: normal([3, 21, 30]), b: normal([30]) },
    run: ({ x, w, b }) => ops.matmul(x, w, { bias: b, activation: 'gelu', precision: 'bf16' }),
    gradient: [],
    ulps: 16,
    cancels: Math.sqrt(21),
    differences: false,
  }),
]

function rounded(m: number, k: number, n: number, layoutA: string, layoutB: string): Case {
  const given = product(m, k, n, layoutA, layoutB)
  const [a, b] = [layouts[layoutA]!, layouts[layoutB]!]
  return {
    ...given,
    name: `${given.name} in bf16`,
    run: (x) => ops.matmul(a.view(x['a']!), b.view(x['b']!), { precision: 'bf16' }),
    cancels: Math.sqrt(Math.max(m, k, n)),
    differences: false,
  }
}

function swapLast(shape: Shape): Shape {
  return [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!]
}

export const matmul: readonly Case[] = [
  ...edgeCases,
  ...largeCases,
  ...blockedCases,
  ...batchCases,
  ...headCases,
  ...epilogueCases,
  ...biasCases,
  ...bf16Cases,
  ...roundedCases,
]
