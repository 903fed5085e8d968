import { ArgumentError, ShapeError, checkOptions, describe, nearest } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { broadcastShapes, formatShape, sizeOf } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, functionIndex, like } from './define-op.ts'
import { activations, type Activation } from './elementwise.ts'
import { sum } from './reduce.ts'
import { reduceTo, reshape, transpose } from './view.ts'

/*
 * y[…, i, j] = f(Σ_k a[…, i, k] · b[…, k, j] + bias[j]);  with `gradient`, (Σ + bias) · f'(aux[…, i, j]) instead.
 * f, aux and the second output exist for the rewrites: what a person calls has f = identity, so that there is one
 * gradient rule.
 */
const matmulOp = defineOp({
  name: 'matmul',
  operands: [
    { name: 'a', kind: 'float', layout: 'matrix' },
    { name: 'b', kind: 'float', layout: 'matrix' },
    { name: 'bias', kind: 'float', optional: true, layout: 'contiguous' },
    { name: 'aux', kind: 'float', optional: true, layout: 'rows' },
  ],
  outputs: [
    { name: 'y', layout: 'rows' },
    { name: 'preActivation', optional: true, layout: 'rows' },
  ],
  infer: ([a, b, bias]) => {
    checkRank('matmul', 'a', a!, 2, 6)
    checkRank('matmul', 'b', b!, 2, 6)
    const [m, k] = a!.shape.slice(-2) as [number, number]
    const [inner, n] = b!.shape.slice(-2) as [number, number]
    if (k !== inner)
      throw new ShapeError(
        `matmul: a ${formatShape(a!.shape)} has ${k} columns, b ${formatShape(b!.shape)} has ${inner} rows; they should be equal`,
      )
    if (bias) checkShapeOf('matmul', 'bias', bias, [n])
    const type = like(a!, [...broadcastShapes('matmul', a!.shape.slice(0, -2), b!.shape.slice(0, -2)), m, n])
    return [type, type]
  },
  gradient: ({ inputs: [a, b, bias], gradOutputs: [gradient], wanted }) => [
    wanted[0] ? reduceTo(matmul(gradient!, transpose(b!)), a!) : undefined,
    wanted[1] ? gradientOfB(a!, gradient!, b!) : undefined,
    bias && wanted[2] ? sum(gradient!, { axis: gradient!.shape.slice(0, -1).map((_, axis) => axis) }) : undefined,
  ],
  lowering: {
    kind: 'instruction',
    instruction: 'matmul',
    attributes: ({ function: f, gradient }) => [functionIndex('unaryFunctions', f), gradient ? 1 : 0],
  },
})

/** aᵀ·dy. Batches of `a` that share one `b` are one long product instead of many that are added. */
function gradientOfB(a: Tensor, gradient: Tensor, b: Tensor): Tensor {
  if (b.rank > 2) return reduceTo(matmul(transpose(a), gradient), b)
  // The number of rows stays open (−1) where it may differ from run to run; nothing is known of rows without elements.
  const rows = (x: Tensor): Tensor => {
    const columns = x.shape.at(-1)!
    return reshape(x, [columns ? -1 : sizeOf(x.shape.slice(0, -1)), columns])
  }
  return matmul(transpose(rows(a)), rows(gradient))
}

export interface MatmulOptions {
  /** A vector [n] that is added to each row. */
  bias?: Tensor
  /** Applied to the result while it is still in the cache. */
  activation?: Activation
}

/**
 * Matrix product: y[…, i, j] = f(Σ_k a[…, i, k] · b[…, k, j] + bias[j]), a […, m, k], b […, k, n]. Leading dimensions
 * broadcast. Transposed views are read in place.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  checkTensor('matmul', 'a', a)
  checkTensor('matmul', 'b', b)
  checkOptions('matmul', options, ['bias', 'activation'])
  const { bias, activation } = options
  if (bias !== undefined) checkTensor('matmul', 'bias', bias)
  const y = apply(matmulOp, [a, b, bias, undefined], { function: 'identity', gradient: false })[0]!
  return activation === undefined ? y : activate('matmul', activation, y)
}

/** f(x) for the name of an activation. */
export function activate(operation: string, activation: Activation, x: Tensor): Tensor {
  return activations[checkActivation(operation, activation)](checkTensor(operation, 'x', x))
}

export function checkActivation(operation: string, activation: unknown): Activation {
  const names = Object.keys(activations)
  if (names.includes(activation as string)) return activation as Activation
  const near = typeof activation === 'string' && nearest(activation, names)
  throw new ArgumentError(
    `${operation}: activation should be one of ${names.join(', ')}, got ${describe(activation)}${near ? `; did you mean ${near}?` : ''}`,
  )
}
