import { ArgumentError, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { checkAxis, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkTensor, defineOp, functionIndex, like } from './define-op.ts'
import { divide, equal, multiply } from './elementwise.ts'
import { broadcastTo, reshape } from './view.ts'

type ReduceGradient = (gradient: Tensor, x: Tensor, y: Tensor) => Tensor

export interface ReduceOptions {
  /** One axis or several; all of them unless said. Negative ones count from the end. */
  axis?: number | readonly number[]
  /** Keep the reduced axes with size 1. */
  keepDims?: boolean
}

function reduction(
  name: string,
  instructionFunction: string,
  gradient: ReduceGradient,
): (x: Tensor, options?: ReduceOptions) => Tensor {
  const definition = defineOp({
    name,
    operands: [{ name: 'x', kind: 'float' }],
    outputs: [{ name: 'y' }],
    infer: ([x], { axes }) => [
      like(
        x!,
        x!.shape.map((d, axis) => ((axes as number[]).includes(axis) ? 1 : d)),
      ),
    ],
    gradient: ({ inputs, outputs, gradOutputs }) => [gradient(gradOutputs[0]!, inputs[0]!, outputs[0]!)],
    lowering: {
      kind: 'instruction',
      instruction: 'reduce',
      attributes: () => [functionIndex('reduceFunctions', instructionFunction)],
    },
  })
  return (x, options = {}) => {
    checkTensor(name, 'x', x)
    checkOptions(name, options, { axis: 'any', keepDims: 'boolean' })
    const { axis = x.shape.map((_, i) => i), keepDims = false } = options
    const given = typeof axis === 'number' ? [axis] : axis
    if (!Array.isArray(given))
      throw new ArgumentError(`${name}: expected an axis or an array of axes, got ${describe(axis)}`)
    const axes = [...new Set(given.map((a) => checkAxis(name, a, x.rank)))]
    const y = apply(definition, [x], { axes })[0]!
    return keepDims ? y : reshape(y, remaining(y.shape, axes))
  }
}

const remaining = (shape: Shape, axes: readonly number[]): number[] => shape.filter((_, axis) => !axes.includes(axis))

/** The share of the gradient of the elements that are the extremum; equal ones share evenly. */
function shareOfExtremum(gradient: Tensor, x: Tensor, y: Tensor): Tensor {
  const chosen = equal(x, y)
  const axes = x.shape.map((_, axis) => axis).filter((axis) => x.shape[axis] !== y.shape[axis])
  const count = sum(chosen, { axis: axes, keepDims: true })
  return multiply(chosen, divide(gradient, count))
}

/** Sum over axes. */
export const sum = reduction('sum', 'sum', (gradient, x) => broadcastTo(gradient, x.shape))
/** Arithmetic mean over axes; NaN over nothing. */
export const mean = reduction('mean', 'mean', (gradient, x, y) =>
  broadcastTo(multiply(gradient, y.size / x.size), x.shape),
)
/** Largest element over axes; −∞ over nothing, NaN if any is. */
export const max = reduction('max', 'maximum', shareOfExtremum)
/** Smallest element over axes; ∞ over nothing, NaN if any is. */
export const min = reduction('min', 'minimum', shareOfExtremum)
