import type { Rule } from './rewriter.ts'
import type { Node, Value } from '../trace.ts'

const becomes = ({ definition: { lowering } }: Node, instruction: string): boolean =>
  lowering.kind === 'instruction' && lowering.instruction === instruction

/** The product itself, of operations that become the instruction of the matrix product: nothing is fused into it yet. */
export const isPlainProduct = (value: Value | undefined): value is Value & { node: Node } =>
  value?.node !== undefined &&
  value.index === 0 &&
  becomes(value.node, 'matmul') &&
  value.node.attributes['function'] === 'identity' &&
  value.node.attributes['gradient'] !== true

const operandsOf = (node: Node): Record<string, Value | undefined> =>
  Object.fromEntries(node.definition.operands.map(({ name }, i) => [name, node.inputs[i]]))

/** x·w + b  →  the matmul adds the bias in its epilogue. b is a vector along the last dimension. */
export const fuseBias: Rule = (node, rewriter) => {
  if (node.definition.name !== 'add') return
  const [left, right] = [rewriter.input(node, 'a'), rewriter.input(node, 'b')]
  for (const [product, bias] of [
    [left, right],
    [right, left],
  ] as const) {
    if (!isPlainProduct(product) || !bias || rewriter.uses(product) !== 1) continue
    const columns = product.shape.at(-1)
    if (product.node.inputs[2] || bias.shape.length !== 1 || bias.shape[0] !== columns || product.shape.length < 2)
      continue
    const fused = rewriter.make(product.node.definition, { ...operandsOf(product.node), bias }, product.node.attributes)
    rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
    return
  }
}

/**
 * f(x·w + b)  →  the epilogue applies f. Where the backward pass reads what f was taken of, the same pass over the
 * tile stores it.
 */
export const fuseActivation: Rule = (node, rewriter) => {
  if (!becomes(node, 'unary')) return
  const product = rewriter.input(node, 'x')
  if (!isPlainProduct(product)) return
  const attributes = { ...product.node.attributes, function: node.definition.name }
  const fused = rewriter.make(product.node.definition, operandsOf(product.node), attributes)
  rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
  if (rewriter.uses(product) > 1) rewriter.replace(product, fused.outputs[1]!)
}

/** dy·wᵀ ⊙ f'(x)  →  the epilogue of the backward product multiplies by the activation's derivative. */
export const fuseActivationGradient: Rule = (node, rewriter) => {
  if (node.definition.name !== 'unaryGradient') return
  const product = rewriter.input(node, 'gradOutput')
  const aux = rewriter.input(node, 'x')
  if (!isPlainProduct(product) || !aux || rewriter.uses(product) !== 1) return
  const attributes = { ...product.node.attributes, function: node.attributes['function'], gradient: true }
  const fused = rewriter.make(product.node.definition, { ...operandsOf(product.node), aux }, attributes)
  rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
}
