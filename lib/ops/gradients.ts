import { ArgumentError, DTypeError, describe } from '../errors.ts'
import { compile } from '../graph/compile.ts'
import { differentiate } from '../graph/differentiate.ts'
import { activeTrace } from '../graph/trace.ts'
import { gradientType } from '../tensor/dtype.ts'
import { Parameter, Tensor } from '../tensor/tensor.ts'
import { mapTree } from '../graph/tree.ts'
import { checkTensor } from './define-op.ts'
import { add } from './elementwise.ts'
import { fill } from './fill.ts'

/**
 * What gradients may be taken of: a tensor, or maps, records and lists of them, as deep as they come. Gradients come in
 * the same structure.
 */
export type Differentiable =
  Tensor | ReadonlyMap<string, Differentiable> | readonly Differentiable[] | { readonly [name: string]: Differentiable }

export type GradientsOf<W> = W extends Tensor
  ? Tensor
  : W extends ReadonlyMap<infer K, infer V>
    ? Map<K, GradientsOf<V>>
    : W extends readonly (infer V)[]
      ? GradientsOf<V>[]
      : { [K in keyof W]: GradientsOf<W[K]> }

const algebra = { add, onesLike: (x: Tensor): Tensor => fill(x.shape, 1, gradientType(x.dtype)) }

/**
 * A function that gives the value of `loss` (one number) and its gradients for `wrt`; without `wrt`, for every
 * trainable parameter that `loss` used. Give it to `compile`, or call it: then it is compiled and run at once.
 * Where the loss does not depend on something, its gradient is zero.
 */
export function valueAndGrad<I, W extends Differentiable>(
  loss: (inputs: I) => Tensor,
  wrt: W,
): (inputs: I) => { value: Tensor; grads: GradientsOf<W> }
export function valueAndGrad<I>(
  loss: (inputs: I) => Tensor,
): (inputs: I) => { value: Tensor; grads: Map<Parameter, Tensor> }
export function valueAndGrad<I>(
  loss: (inputs: I) => Tensor,
  wrt?: Differentiable,
): (inputs: I) => { value: Tensor; grads: unknown } {
  if (typeof loss !== 'function') throw new ArgumentError(`valueAndGrad: expected a function, got ${describe(loss)}`)
  const wanted: Tensor[] = []
  const structure = mapTree('grad', wrt, (leaf, path) => {
    const { dtype } = checkTensor('grad', path || 'wrt', leaf)
    if (dtype === 'i32') throw new DTypeError(`grad: ${path || 'wrt'} should be f32 or f64, got i32`)
    return wanted.push(leaf as Tensor) - 1
  })
  if (wrt !== undefined && lacks(structure))
    throw new ArgumentError(`grad: expected tensors only, got undefined or null in ${describe(wrt)}`)
  const traced = (inputs: I): { value: Tensor; grads: unknown } => {
    const trace = activeTrace()
    if (!trace) {
      using once = compile(traced)
      return once.runSync(inputs as never)
    }
    const value = loss(inputs)
    if (!(value instanceof Tensor))
      throw new ArgumentError(`valueAndGrad: the function should return a tensor, got ${describe(value)}`)
    const take = (tensors: readonly Tensor[]): Tensor[] =>
      differentiate(trace, value, tensors, algebra).map(
        (gradient, i) => gradient ?? fill(tensors[i]!.shape, 0, gradientType(tensors[i]!.dtype)),
      )
    if (wrt === undefined) {
      const used = [...trace.captured.keys()].filter((t): t is Parameter => t instanceof Parameter && t.trainable)
      const gradients = take(used)
      return { value, grads: new Map(used.map((parameter, i) => [parameter, gradients[i]!])) }
    }
    const gradients = take(wanted)
    return { value, grads: mapTree('grad', structure, (leaf) => gradients[leaf as number]!) }
  }
  return traced
}

/** True if something in a tree is undefined or null. */
function lacks(tree: unknown): boolean {
  if (typeof tree !== 'object' || tree === null) return tree === undefined || tree === null
  return (tree instanceof Map ? [...tree.values()] : Object.values(tree)).some(lacks)
}

/** Like `valueAndGrad`, without the value. */
export function grad<I, W extends Differentiable>(loss: (inputs: I) => Tensor, wrt: W): (inputs: I) => GradientsOf<W>
export function grad<I>(loss: (inputs: I) => Tensor): (inputs: I) => Map<Parameter, Tensor>
export function grad<I>(loss: (inputs: I) => Tensor, wrt?: Differentiable): (inputs: I) => unknown {
  const both = valueAndGrad(loss, wrt as Differentiable)
  return (inputs) => {
    const { value, grads } = both(inputs)
    value.dispose()
    return grads
  }
}
