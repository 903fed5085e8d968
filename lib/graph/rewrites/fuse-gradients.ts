import { sameShape, sizeOf } from '../../tensor/shape.ts'
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

/**
 * adamWStep(embeddingGradient(ids, dy)), globalNorm(… that …)  →  the same of the rows that ids name: a gradient of the
 * table's size is never stored. Only where they are fewer than the table has, and nothing else reads the gradient.
 */
export const storeRowsOfEmbeddingGradient: Rule = (node, rewriter) => {
  const definition = node.definition.variants?.['rows']
  if (!definition || node.definition.name !== 'embeddingGradient' || rewriter.input(node, 'base')) return
  const [table, ids] = [node.outputs[0]!, rewriter.input(node, 'ids')!]
  const readers = rewriter.readers(table)
  const steps = readers.filter(({ definition: { name }, inputs }) => name === 'adamWStep' && inputs[0] === table)
  const others = readers.filter((reader) => !steps.includes(reader))
  const reads = readers.flatMap(({ inputs }) => inputs.filter((x) => x === table)).length
  const fewer = sizeOf(ids.shape) < table.shape[0]! && ids.rowFactors.every((factor) => factor === 0)
  if (!fewer || reads !== rewriter.uses(table) || others.some(({ definition: { name } }) => name !== 'globalNorm'))
    return
  const made = rewriter.make(definition, { ids, gradOutput: rewriter.input(node, 'gradOutput') }, node.attributes)
  for (const step of steps) rewriter.give(step, { slots: made.outputs[1]! })
  rewriter.replace(table, made.outputs[0]!)
}
