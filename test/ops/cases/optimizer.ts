import { grad } from '../../../lib/ops/gradients.ts'
import * as ops from '../../../lib/ops/index.ts'
import { define, indices, normal, uniform, values, type Case, type Input } from '../case.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'

const state = (
  shape: Shape,
  step: number,
): Record<'parameter' | 'gradient' | 'm' | 'v' | 'learningRate' | 'step', Input> => ({
  parameter: normal(shape),
  gradient: normal(shape),
  m: normal(shape, 0.1),
  v: uniform(shape, 0, 0.1),
  learningRate: values([1e-3], []),
  step: indices([step], []),
})

const stepCases = [
  ...([[], [0], [1], [7], [8], [15], [16], [17], [33], [5, 13], [20_011]] as const).map((shape) =>
    define({
      name: `adamWStep [${shape.join()}]`,
      inputs: state(shape, 3),
      run: ({ parameter, ...rest }) => ops.adamWStep(parameter, rest),
      gradient: [],
    }),
  ),
  ...[1, 2, 1000, 2_000_000_000].map((step) =>
    define({
      name: `adamWStep, step ${step}, a scaled gradient and options`,
      inputs: { ...state([40], step), gradientScale: values([0.25], []) },
      run: ({ parameter, ...rest }) =>
        ops.adamWStep(parameter, { ...rest, beta1: 0.8, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.1 }),
      gradient: [],
    }),
  ),
  ...[0, 1, 15, 16, 17, 130].map((columns) =>
    define({
      name: `adamWStep of an embedding [11,${columns}], and its norm`,
      inputs: { ...state([11, columns], 3), ids: indices([10, 0, 3, 3, 10, 5, 3, 1]), gradient: normal([8, columns]) },
      run: ({ parameter, ids, gradient, ...rest }) => {
        const loss = (): Tensor => ops.sum(ops.multiply(ops.embedding(parameter, ids, { paddingIndex: 1 }), gradient))
        const made = grad(loss, parameter)({})
        return [ops.adamWStep(parameter, { gradient: made, ...rest }), ops.globalNorm([made])]
      },
      gradient: [],
    }),
  ),
  define({
    name: 'adamWStep from nothing',
    inputs: {
      ...state([40], 1),
      m: values([0], [40]),
      v: values([0], [40]),
      gradient: values([0, 1, -1e-20, 1e10], [40]),
    },
    run: ({ parameter, ...rest }) => ops.adamWStep(parameter, rest),
    gradient: [],
  }),
]

const normCases = [
  ...[0, 1, 7, 16, 17, 129, 70_001].map((n) =>
    define({
      name: `globalNorm of [${n}] and others`,
      inputs: { a: normal([n]), b: normal([3, 5]), c: normal([]) },
      run: ({ a, b, c }) => ops.globalNorm([a, b, c]),
      gradient: [],
    }),
  ),
  define({
    name: 'globalNorm of huge and of tiny numbers',
    inputs: { huge: normal([40], 1e15), tiny: normal([40], 1e-15) },
    run: ({ huge, tiny }) => [ops.globalNorm([huge]), ops.globalNorm([tiny])],
    gradient: [],
  }),
  define({
    name: 'globalNorm of NaN',
    inputs: { x: values([1, NaN, 2]) },
    run: ({ x }) => ops.globalNorm([x]),
    gradient: [],
  }),
  define({
    name: 'clipScale of a small and of a large gradient',
    inputs: { x: normal([40]) },
    run: ({ x }) => [0.5, 100].map((maxNorm) => ops.clipScale(ops.globalNorm([x]), maxNorm)),
    gradient: [],
  }),
]

export const optimizer: readonly Case[] = [...stepCases, ...normCases]
