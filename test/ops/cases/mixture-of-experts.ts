import * as ops from '../../../lib/ops/index.ts'
import { activations } from '../../../lib/ops/elementwise.ts'
import type { Activation } from '../../../lib/ops/index.ts'
import { define, normal, uniform, values, type Case, type Input } from '../case.ts'

type Sizes = readonly [rows: number, hidden: number, experts: number, inner: number, topK: number]

const inputs = (
  [rows, hidden, experts, inner]: Sizes,
  probabilities: Input = uniform([rows, experts], 0.05, 1),
): Record<'x' | 'probabilities' | 'gateUp' | 'down', Input> => ({
  x: normal([rows, hidden]),
  probabilities,
  gateUp: normal([experts, 2 * inner, hidden], 0.5),
  down: normal([experts, hidden, inner], 0.5),
})

const mixture = (sizes: Sizes, normalize: boolean, activation: Activation = 'silu'): Case =>
  define({
    name: `mixtureOfExperts [${sizes.slice(0, 2).join()}], ${sizes[4]} of ${sizes[2]} experts of ${sizes[3]}, ${activation}${normalize ? '' : ', weights as they are'}`,
    inputs: inputs(sizes),
    run: ({ x, probabilities, gateUp, down }) =>
      ops.mixtureOfExperts(x, probabilities, gateUp, down, { topK: sizes[4], normalize, activation }),
    // Products and sums over experts cancel.
    cancels: 4,
  })

const sizeCases = (
  [
    [1, 1, 1, 1, 1],
    [1, 8, 4, 5, 2],
    [7, 16, 8, 12, 2],
    [5, 9, 3, 4, 3],
    [33, 20, 6, 17, 3],
  ] as const
).flatMap((sizes) => [true, false].map((normalize) => mixture(sizes, normalize)))

const functionCases = (Object.keys(activations) as Activation[]).map((activation) =>
  mixture([6, 8, 4, 5, 2], true, activation),
)

const otherCases = [
  define({
    name: 'mixtureOfExperts without rows',
    inputs: inputs([0, 4, 2, 3, 1]),
    run: ({ x, probabilities, gateUp, down }) => ops.mixtureOfExperts(x, probabilities, gateUp, down, { topK: 1 }),
    differences: false,
  }),
  define({
    name: 'mixtureOfExperts, equally probable: the first ones',
    inputs: inputs([3, 6, 4, 5, 2], values([0.25], [3, 4])),
    run: ({ x, probabilities, gateUp, down }) => ops.mixtureOfExperts(x, probabilities, gateUp, down, { topK: 2 }),
    gradient: ['x', 'gateUp', 'down'],
    cancels: 4,
  }),
  define({
    name: 'mixtureOfExperts of rows inside a larger tensor, chosen by a router',
    inputs: {
      wide: normal([9, 12]),
      router: normal([5, 8]),
      gateUp: normal([5, 12, 8], 0.5),
      down: normal([5, 8, 6], 0.5),
    },
    run: ({ wide, router, gateUp, down }) => {
      const x = ops.slice(wide, 1, 2, 10)
      const probabilities = ops.softmax(ops.matmul(x, ops.transpose(router)))
      return ops.mixtureOfExperts(x, probabilities, gateUp, down, { topK: 2 })
    },
    cancels: 4,
  }),
  // More elements than one task of the thread pool takes, in every step.
  define({
    name: 'mixtureOfExperts on several threads',
    inputs: inputs([300, 128, 4, 96, 2]),
    run: ({ x, probabilities, gateUp, down }) => ops.mixtureOfExperts(x, probabilities, gateUp, down, { topK: 2 }),
    // Gradients of x are sums of 192 products of two numbers of about 6.
    cancels: 200,
    differences: false,
  }),
]

export const mixtureOfExperts: readonly Case[] = [...sizeCases, ...functionCases, ...otherCases]
