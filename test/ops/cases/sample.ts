import * as ops from '../../../lib/ops/index.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, indices, integers, normal, values, type Case, type Input } from '../case.ts'

interface Rules {
  readonly temperature?: readonly number[]
  readonly topK?: readonly number[]
  readonly topP?: readonly number[]
  readonly minP?: readonly number[]
}

/** Each list once or more over the rows. */
const draws = (
  name: string,
  logits: Input,
  rules: Rules,
  view: (logits: Tensor) => Tensor = (x) => x,
  rows = logits.shape[0]!,
): Case => {
  const given = Object.entries(rules).map(([key, numbers]: [string, readonly number[]]) => [
    key,
    key === 'topK' ? indices(numbers, [rows]) : values(numbers, [rows]),
  ])
  const inputs = { logits, seed: integers([rows], -(2 ** 31), 2 ** 31), step: integers([rows], 0, 1e6) }
  return define({
    name: `sample ${name}${Object.entries(rules)
      .map(([key, numbers]) => `, ${key} ${numbers.join(' ')}`)
      .join('')}`,
    inputs: { ...inputs, ...(Object.fromEntries(given) as Record<string, Input>) },
    run: ({ logits: x, ...options }) => ops.sample(view(x!), options as unknown as ops.SampleOptions),
    gradient: [],
    exact: true,
  })
}

const rules: readonly Rules[] = [
  {},
  { temperature: [0, 0.3, 1, 5] },
  { topK: [1, 2, 7, 40, 0, 100000] },
  { topP: [0, 0.1, 0.5, 0.9, 0.999, 1] },
  { minP: [0, 0.02, 0.2, 1] },
  { temperature: [0.7, 1.5], topK: [3, 50, 0], topP: [0.4, 0.95], minP: [0, 0.05, 0.3] },
]
/** Vectors have 4 to 16 lanes; 4 of them are looked at, 16 make a column, sums are of 256 and 4,096. */
const sizes = [1, 2, 15, 17, 64, 65, 257, 1000, 4097]
/** Few different values, so that filters have to choose among equals. */
const whole = (shape: Shape): Input => ({
  shape,
  kind: 'float',
  generate: (random) => Array.from({ length: shape[0]! * shape[1]! }, () => (random.integer(5) - 2) / 2),
})

export const sample: readonly Case[] = [
  ...sizes.flatMap((n) => rules.map((given) => draws(`[12,${n}]`, normal([12, n], 3), given))),
  ...rules.map((given) => draws('of equals [12,300]', whole([12, 300]), given)),
  ...rules.map((given) => draws('of one value [6,70]', values([0.5], [6, 70]), given)),
  ...rules.map((given) =>
    draws('of masked tokens [6,50]', values([1, -Infinity, 0, 2, -Infinity, -1e30, -0], [6, 50]), given),
  ),
  draws('of huge logits [4,9]', values([3e38, -3e38, 2.9e38, 0], [4, 9]), { temperature: [1e-30, 1, 3e38] }),
  draws(
    'of rows inside a larger tensor',
    normal([9, 40], 2),
    { topK: [5], topP: [0.8] },
    (x) => ops.slice(ops.slice(x, 0, 2, 7), 1, 3, 36),
    5,
  ),
  draws('of many rows', normal([300, 130], 2), { topK: [20, 0], topP: [0.9, 1] }),
  draws('of a flat vocabulary [2,50257]', normal([2, 50257]), { topP: [0.9], topK: [0, 9000] }),
  draws('of no rows', normal([0, 7]), { topK: [3] }),
]
