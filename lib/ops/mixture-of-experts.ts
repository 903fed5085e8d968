import { ShapeError, checkInteger, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { formatShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, functionIndex, like } from './define-op.ts'
import type { Activation } from './elementwise.ts'
import { checkActivation } from './matmul.ts'

const attributes = (given: Readonly<Record<string, unknown>>): number[] => [
  Number(given['topK']),
  Number(given['normalize']),
  functionIndex('unaryFunctions', given['function']),
]

const inputs = [
  { name: 'x', kind: 'float', layout: 'rows' },
  { name: 'probabilities', kind: 'float', layout: 'contiguous' },
  { name: 'gateUp', kind: 'float', layout: 'contiguous' },
  { name: 'down', kind: 'float', layout: 'contiguous' },
] as const

const gradientOp = defineOp({
  name: 'mixtureOfExpertsGradient',
  operands: [...inputs, { name: 'gradOutput', kind: 'float', layout: 'rows' }],
  outputs: [
    { name: 'gradX', layout: 'contiguous' },
    { name: 'gradProbabilities', layout: 'contiguous' },
    { name: 'gradGateUp', layout: 'contiguous' },
    { name: 'gradDown', layout: 'contiguous' },
  ],
  infer: ([x, probabilities, gateUp, down]) => [like(x!), like(probabilities!), like(gateUp!), like(down!)],
  lowering: { kind: 'instruction', instruction: 'mixtureOfExpertsGradient', attributes },
})

const mixtureOp = defineOp({
  name: 'mixtureOfExperts',
  operands: [...inputs],
  outputs: [{ name: 'y', layout: 'contiguous' }],
  infer: ([x, probabilities, gateUp, down]) => {
    checkRank('mixtureOfExperts', 'x', x!, 2)
    checkRank('mixtureOfExperts', 'down', down!, 3)
    checkRank('mixtureOfExperts', 'gateUp', gateUp!, 3)
    const [rows, hidden] = x!.shape as [number, number]
    const [experts, , inner] = down!.shape as [number, number, number]
    checkShapeOf('mixtureOfExperts', 'down', down!, [experts, hidden, inner])
    checkShapeOf('mixtureOfExperts', 'gateUp', gateUp!, [experts, 2 * inner, hidden])
    checkShapeOf('mixtureOfExperts', 'probabilities', probabilities!, [rows, experts])
    return [like(x!)]
  },
  gradient: ({ inputs: [x, probabilities, gateUp, down], gradOutputs: [gradient], attributes: given }) =>
    apply(gradientOp, [x, probabilities, gateUp, down, gradient], given, [0, 1, 2, 3]),
  lowering: { kind: 'instruction', instruction: 'mixtureOfExperts', attributes },
})

export interface MixtureOptions {
  /** How many experts a row goes through. */
  topK: number
  /** Their weights are divided by their sum; true unless said. */
  normalize?: boolean
  /** Of the gate; silu unless said. */
  activation?: Activation
}

/**
 * Each row of x [rows, hidden] goes through the `topK` experts with the largest `probabilities` [rows, experts], and what
 * they make of it is added by those weights (Shazeer et al. 2017; Jiang et al. 2024):
 * y = Σ wₑ · downₑ · (f(gateₑ · x) ⊙ (upₑ · x)). gateUp [experts, 2·inner, hidden] holds the gates first; down [experts,
 * hidden, inner]. Only the experts of a row are computed, and nothing is padded; of equal probabilities the first counts.
 * The choice itself has no gradient, the weights have.
 */
export function mixtureOfExperts(
  x: Tensor,
  probabilities: Tensor,
  gateUp: Tensor,
  down: Tensor,
  options: MixtureOptions,
): Tensor {
  const operation = 'mixtureOfExperts'
  for (const [name, operand] of Object.entries({ x, probabilities, gateUp, down }))
    checkTensor(operation, name, operand)
  checkOptions(operation, options, { topK: 'any', normalize: 'boolean', activation: 'any' })
  const { normalize = true, activation = 'silu' } = options
  checkRank(operation, 'probabilities', probabilities, 2)
  const experts = probabilities.shape[1]!
  if (experts === 0)
    throw new ShapeError(`${operation}: probabilities ${formatShape(probabilities.shape)} are those of no expert`)
  const topK = checkInteger(operation, 'topK', options.topK, 1, experts)
  return apply(mixtureOp, [x, probabilities, gateUp, down], {
    topK,
    normalize,
    function: checkActivation(operation, activation),
  })[0]!
}
