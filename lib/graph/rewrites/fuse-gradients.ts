import { sameShape } from '../../tensor/shape.ts'
import type { Rule } from './rewriter.ts'

/** x · 1  →  x: what a loss that is differentiated gives its gradients to be multiplied by. */
export const dropUnitFactor: Rule = (node, rewriter) => {
  if (node.definition.name !== 'multiply') return
  const [left, right] = [rewriter.input(node, 'a'), rewriter.input(node, 'b')]
  for (const [x, factor] of [
    [left, right],
    [right, left],
  ] as const) {
    const isOne = factor?.node?.definition.name === 'fill' && factor.node.attributes['value'] === 1
    if (!isOne || !x?.node || !sameShape(x.shape, node.outputs[0]!.shape)) continue
    rewriter.replace(node.outputs[0]!, x)
    return
  }
}

/**
 * g + embeddingGradient(ids, dy)  →  the rows that ids name are added to g where it lies: an embedding that is also the
 * output projection has one gradient of the size of its table, not two and their sum.
 */
export const fuseEmbeddingGradient: Rule = (node, rewriter) => {
  if (node.definition.name !== 'add') return
  const [left, right] = [rewriter.input(node, 'a'), rewriter.input(node, 'b')]
  for (const [gradient, base] of [
    [left, right],
    [right, left],
  ] as const) {
    const producer = gradient?.node
    if (producer?.definition.name !== 'embeddingGradient' || !base || rewriter.uses(gradient!) !== 1) continue
    if (rewriter.input(producer, 'base') || !sameShape(gradient!.shape, base.shape)) continue
    if (rewriter.dependsOn(base, producer)) continue
    const [ids, gradOutput] = [rewriter.input(producer, 'ids'), rewriter.input(producer, 'gradOutput')]
    const fused = rewriter.make(producer.definition, { ids, gradOutput, base }, producer.attributes)
    rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
    return
  }
}
