import { ShapeError, TraceError } from '../errors.ts'
import { formatShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { TracedTensor, type Trace, type Value } from './trace.ts'

/** What differentiation needs of arithmetic; it knows no operation itself. */
export interface Algebra {
  add(a: Tensor, b: Tensor): Tensor
  onesLike(x: Tensor): Tensor
}

/**
 * Reverse-mode differentiation: records, after the nodes that made `loss`, those that make dLoss/dx for each of `wrt`.
 * Contributions to one value are added in the reverse order of the nodes. undefined where loss does not depend on x.
 */
export function differentiate(
  trace: Trace,
  loss: Tensor,
  wrt: readonly Tensor[],
  algebra: Algebra,
): (Tensor | undefined)[] {
  if (!(loss instanceof TracedTensor))
    throw new TraceError(
      'grad: the loss does not depend on anything that was traced; compute it from the inputs or parameters',
    )
  if (loss.size !== 1)
    throw new ShapeError(
      `grad: the loss should be one number, got shape ${formatShape(loss.shape)}; take its mean() or sum()`,
    )
  const targets = wrt.map((tensor) => trace.valueOf('grad', tensor))
  const nodes = trace.nodes.slice()
  const dependent = dependentValues(nodes, new Set(targets))

  const gradients = new Map<Value, Tensor>()
  const accumulate = (value: Value, gradient: Tensor): void => {
    const sum = gradients.get(value)
    gradients.set(value, sum ? algebra.add(sum, gradient) : gradient)
  }
  accumulate(loss.value, algebra.onesLike(loss))

  for (const node of nodes.reverse()) {
    const gradOutputs = node.outputs.map((output) => gradients.get(output))
    const wanted = node.inputs.map((input) => input !== undefined && dependent.has(input))
    if (!wanted.includes(true) || gradOutputs.every((g) => g === undefined)) continue
    const { definition, attributes } = node
    if (!definition.gradient) throw new TraceError(`grad: ${definition.name} has no gradient`)
    const asTensor = (value: Value): Tensor => value.captured ?? new TracedTensor(trace, value)
    const inputGradients = definition.gradient({
      inputs: node.inputs.map((input) => input && asTensor(input)),
      outputs: node.outputs.map((output) => new TracedTensor(trace, output)),
      gradOutputs,
      attributes,
      wanted,
    })
    node.inputs.forEach((input, i) => {
      const gradient = inputGradients[i]
      if (input && wanted[i] && gradient) accumulate(input, gradient)
    })
  }
  return targets.map((target) => gradients.get(target))
}

function dependentValues(
  nodes: readonly { inputs: readonly (Value | undefined)[]; outputs: readonly Value[] }[],
  targets: ReadonlySet<Value>,
): Set<Value> {
  const dependent = new Set(targets)
  for (const node of nodes)
    if (node.inputs.some((input) => input && dependent.has(input)))
      for (const output of node.outputs) dependent.add(output)
  return dependent
}
