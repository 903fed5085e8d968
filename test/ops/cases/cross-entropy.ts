import * as ops from '../../../lib/ops/index.ts'
import { define, indices, integers, normal, values, type Case } from '../case.ts'

const classes = [1, 2, 7, 8, 15, 16, 17, 31, 33, 65, 129, 1000]
const reductions = ['mean', 'sum', 'none'] as const

const sizeCases = classes.flatMap((n) =>
  [0, 0.1].map((labelSmoothing) =>
    define({
      name: `crossEntropy [6,${n}], smoothing ${labelSmoothing}`,
      inputs: { logits: normal([6, n], 3), targets: integers([6], 0, n) },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { labelSmoothing }),
    }),
  ),
)

const optionCases = reductions.flatMap((reduction) =>
  [0, 0.3, 1].flatMap((labelSmoothing) => [
    define({
      name: `crossEntropy, ${reduction}, smoothing ${labelSmoothing}, some rows ignored`,
      inputs: { logits: normal([9, 21], 3), targets: indices([3, -100, 20, 0, -100, 7, 7, 1, -100]) },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction, labelSmoothing }),
    }),
    define({
      name: `crossEntropy, ${reduction}, smoothing ${labelSmoothing}, a class ignored`,
      inputs: { logits: normal([5, 4]), targets: indices([3, 1, 2, 0, 1]) },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction, labelSmoothing, ignoreIndex: 1 }),
    }),
    define({
      name: `crossEntropy, ${reduction}, smoothing ${labelSmoothing}, every row ignored`,
      inputs: { logits: normal([3, 21]), targets: indices([-100, -100, -100]) },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction, labelSmoothing }),
      differences: false,
    }),
    define({
      name: `crossEntropy, ${reduction}, smoothing ${labelSmoothing}, no rows`,
      inputs: { logits: normal([0, 21]), targets: integers([0], 0, 1) },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction, labelSmoothing }),
      differences: false,
    }),
    define({
      name: `crossEntropy, ${reduction}, smoothing ${labelSmoothing}, extreme logits`,
      inputs: {
        logits: values([1e4, -1e4, 0, 5, -1e4, -1e4, 1e4, 1e4, 0, 1, 2, 80, 0, -90, 0, 0], [4, 4]),
        targets: indices([1, 2, 0, 1]),
      },
      run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction, labelSmoothing }),
      differences: false,
    }),
  ]),
)

const otherCases = [
  define({
    name: 'crossEntropy with masked classes',
    inputs: { logits: values([0, 1, -Infinity, 2, -Infinity, 3, 1, 0], [2, 4]), targets: indices([1, 2]) },
    run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction: 'none' }),
    differences: false,
  }),
  define({
    name: 'crossEntropy with NaN in one row',
    inputs: { logits: values([0, 1, 2, NaN, 1, 3], [2, 3]), targets: indices([1, 2]) },
    run: ({ logits, targets }) => ops.crossEntropy(logits, targets, { reduction: 'none' }),
    gradient: [],
  }),
  define({
    name: 'crossEntropy of rows inside a larger tensor',
    inputs: { logits: normal([12, 40]), targets: integers([10], 0, 33) },
    run: ({ logits, targets }) => ops.crossEntropy(ops.slice(ops.slice(logits, 0, 1, 11), 1, 5, 38), targets),
  }),
  define({
    name: 'crossEntropy of many rows',
    inputs: { logits: normal([500, 70]), targets: integers([500], 0, 70) },
    run: ({ logits, targets }) => ops.crossEntropy(logits, targets),
  }),
]

export const crossEntropy: readonly Case[] = [...sizeCases, ...optionCases, ...otherCases]
