import { sameShape } from '../../tensor/shape.ts'
import type { Rule } from './rewriter.ts'

/** norm(x + residual)  →  one pass that adds, stores the sum and normalises it. */
export const fuseResidualNorm: Rule = (node, rewriter) => {
  if (node.definition.name !== 'norm' || node.inputs[1]) return
  const sum = rewriter.input(node, 'x')
  if (sum?.node?.definition.name !== 'add') return
  const x = rewriter.input(sum.node, 'a')!
  const residual = rewriter.input(sum.node, 'b')!
  if (!sameShape(x.shape, residual.shape)) return
  const weight = rewriter.input(node, 'weight')
  const bias = rewriter.input(node, 'bias')
  if (rewriter.dependsOn(weight, sum.node) || rewriter.dependsOn(bias, sum.node)) return
  const fused = rewriter.make(node.definition, { x, residual, weight, bias }, node.attributes)
  rewriter.replace(sum, fused.outputs[1]!)
  for (const index of [0, 2, 3]) rewriter.replace(node.outputs[index]!, fused.outputs[index]!)
}

/** normGradient(…) + g  →  the gradient that flows along the residual connection is added in the same pass. */
export const fuseResidualNormGradient: Rule = (node, rewriter) => {
  if (node.definition.name !== 'add') return
  const [left, right] = [rewriter.input(node, 'a'), rewriter.input(node, 'b')]
  for (const [gradient, other] of [
    [left, right],
    [right, left],
  ] as const) {
    const producer = gradient?.node
    if (!producer || producer.definition.name !== 'normGradient' || gradient.index !== 0) continue
    if (
      rewriter.uses(gradient) !== 1 ||
      rewriter.input(producer, 'gradResidual') ||
      !other ||
      !sameShape(gradient.shape, other.shape)
    )
      continue
    if (rewriter.dependsOn(other, producer)) continue
    const operands = Object.fromEntries(
      producer.definition.operands.map(({ name }) => [name, rewriter.input(producer, name)]),
    )
    const fused = rewriter.make(producer.definition, { ...operands, gradResidual: other }, producer.attributes)
    rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
    for (const index of [1, 2]) rewriter.replace(producer.outputs[index]!, fused.outputs[index]!)
    return
  }
}
