import { ArgumentError, DTypeError, describe } from '../errors.ts'
import { compile } from '../graph/compile.ts'
import { differentiate } from '../graph/differentiate.ts'
import { activeTrace } from '../graph/trace.ts'
import { Parameter, Tensor } from '../tensor/tensor.ts'
import { add } from './elementwise.ts'
import { fill } from './fill.ts'
import { checkTensor } from './define-op.ts'

/** What gradients may be taken of: named parameters, a record, a list. Gradients come in the same structure. */
export type Differentiable = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>> | readonly Tensor[]

export type GradientsOf<W> =
  W extends ReadonlyMap<infer K, Tensor>
    ? Map<K, Tensor>
    : W extends readonly Tensor[]
      ? Tensor[]
      : { [K in keyof W]: Tensor }

const algebra = { add, onesLike: (x: Tensor): Tensor => fill(x.shape, 1, x.dtype) }

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
  if (wrt !== undefined) checkDifferentiable(wrt)
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
        (gradient, i) => gradient ?? fill(tensors[i]!.shape, 0, tensors[i]!.dtype),
      )
    if (wrt instanceof Map) {
      const gradients = take([...wrt.values()])
      return { value, grads: new Map([...wrt.keys()].map((key, i) => [key, gradients[i]!])) }
    }
    if (Array.isArray(wrt)) return { value, grads: take(wrt) }
    if (wrt === undefined) {
      const used = [...trace.captured.keys()].filter((t): t is Parameter => t instanceof Parameter && t.trainable)
      const gradients = take(used)
      return { value, grads: new Map(used.map((parameter, i) => [parameter, gradients[i]!])) }
    }
    const gradients = take(Object.values(wrt))
    return { value, grads: Object.fromEntries(Object.keys(wrt).map((key, i) => [key, gradients[i]!])) }
  }
  return traced
}

function checkDifferentiable(wrt: Differentiable): void {
  const isRecord = Object.prototype.toString.call(wrt) === '[object Object]' && !(wrt instanceof Tensor)
  if (!(wrt instanceof Map || Array.isArray(wrt) || isRecord))
    throw new ArgumentError(`valueAndGrad: expected a map, record or array of tensors, got ${describe(wrt)}`)
  const entries = wrt instanceof Map ? [...wrt] : Object.entries(wrt)
  for (const [name, tensor] of entries) {
    const { dtype } = checkTensor('valueAndGrad', String(name), tensor)
    if (dtype === 'i32') throw new DTypeError(`valueAndGrad: ${String(name)} should be f32 or f64, got i32`)
  }
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
