import * as ops from '../../../lib/ops/index.ts'
import { define, indices, integers, normal, type Case } from '../case.ts'

/** [rows, columns, classes] */
const sizes = [
  [1, 1, 1],
  [2, 3, 5],
  [7, 16, 33],
  [30, 17, 129],
  [70, 8, 1000],
] as const

const sizeCases = sizes.flatMap(([rows, columns, classes]) =>
  [0, 0.1].map((labelSmoothing) =>
    define({
      name: `linearCrossEntropy [${rows},${columns}], ${classes} classes, smoothing ${labelSmoothing}`,
      inputs: {
        hidden: normal([rows, columns]),
        weight: normal([classes, columns], 0.5),
        bias: normal([classes]),
        targets: integers([rows], 0, classes),
      },
      run: ({ hidden, weight, bias, targets }) =>
        ops.linearCrossEntropy(hidden, weight, targets, { bias, labelSmoothing }),
      // Probabilities take what their target takes from them; sums over rows and classes cancel.
      cancels: 1,
    }),
  ),
)

const optionCases = (['mean', 'sum'] as const).flatMap((reduction) => [
  define({
    name: `linearCrossEntropy, ${reduction}, some rows ignored, no bias`,
    inputs: { hidden: normal([5, 6]), weight: normal([9, 6]), targets: indices([3, -100, 8, -100, 0]) },
    run: ({ hidden, weight, targets }) => ops.linearCrossEntropy(hidden, weight, targets, { reduction }),
    cancels: 1,
  }),
  define({
    name: `linearCrossEntropy, ${reduction}, every row ignored`,
    inputs: { hidden: normal([3, 6]), weight: normal([9, 6]), targets: indices([1]) },
    run: ({ hidden, weight, targets }) =>
      ops.linearCrossEntropy(hidden, weight, ops.broadcastTo(targets, [3]), { reduction, ignoreIndex: 1 }),
    differences: false,
  }),
  define({
    name: `linearCrossEntropy, ${reduction}, no rows`,
    inputs: { hidden: normal([0, 6]), weight: normal([9, 6]), bias: normal([9]), targets: integers([0], 0, 1) },
    run: ({ hidden, weight, bias, targets }) => ops.linearCrossEntropy(hidden, weight, targets, { reduction, bias }),
    differences: false,
  }),
])

const otherCases = [
  define({
    name: 'linearCrossEntropy of rows inside larger tensors, scaled',
    inputs: { hidden: normal([9, 12]), weight: normal([20, 12]), targets: integers([7], 0, 18) },
    run: ({ hidden, weight, targets }) =>
      ops.multiply(
        ops.linearCrossEntropy(
          ops.slice(ops.slice(hidden, 0, 1, 8), 1, 2, 9),
          ops.slice(ops.slice(weight, 0, 2, 20), 1, 5, 12),
          targets,
        ),
        3,
      ),
    cancels: 1,
  }),
  // 150,000 classes leave 64 rows a part: two parts, and dWeight in pieces.
  define({
    name: 'linearCrossEntropy in several parts',
    inputs: { hidden: normal([66, 2]), weight: normal([150_000, 2]), bias: normal([150_000]), targets: integers([66], 0, 150_000) },
    run: ({ hidden, weight, bias, targets }) => ops.linearCrossEntropy(hidden, weight, targets, { bias }),
    cancels: 1,
    differences: false,
    rounding: false,
  }),
] // prettier-ignore

export const linearCrossEntropy: readonly Case[] = [...sizeCases, ...optionCases, ...otherCases]
