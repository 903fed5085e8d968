import { sameShape, type Shape } from '../../tensor/shape.ts'
import type { Rewriter, Rule } from './rewriter.ts'
import type { Node, Value } from '../trace.ts'

export const becomes = ({ definition: { lowering } }: Node, instruction: string): boolean =>
  lowering.kind === 'instruction' && lowering.instruction === instruction

/** The product itself, of operations that become the instruction of the matrix product: nothing is fused into it yet. */
export const isPlainProduct = (value: Value | undefined): value is Value & { node: Node } =>
  value?.node !== undefined &&
  value.index === 0 &&
  becomes(value.node, 'matmul') &&
  value.node.attributes['function'] === 'identity' &&
  value.node.attributes['gradient'] !== true &&
  value.node.inputs[4] === undefined

export const operandsOf = (node: Node): Record<string, Value | undefined> =>
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

/** Whether two products are by packed matrices of one shape and format, of the same left side. */
const alike = (one: Node, other: Node, rewriter: Rewriter): boolean =>
  one.definition === other.definition &&
  one.attributes['format'] !== undefined &&
  one.attributes['format'] === other.attributes['format'] &&
  sameShape(one.attributes['shape'] as Shape, other.attributes['shape'] as Shape) &&
  rewriter.input(one, 'a') === rewriter.input(other, 'a')

/** The addon's limit on k with a gate. */
const mostGateTerms = 65536

/**
 * f(x·g + c) ⊙ (x·w + b), g and w packed  →  one product: a tile of it is multiplied by the gate's while both are near, and
 * neither is stored. Not where the backward pass reads them.
 */
export const fuseGate: Rule = (node, rewriter) => {
  if (node.definition.name !== 'gated') return
  const [gate, up] = [rewriter.input(node, 'gate'), rewriter.input(node, 'up')]
  if (!isPlainProduct(gate) || !isPlainProduct(up) || gate === up || !alike(gate.node, up.node, rewriter)) return
  if (rewriter.uses(gate) !== 1 || rewriter.uses(up) !== 1 || gate.node.inputs[0]!.shape.at(-1)! > mostGateTerms) return
  const { panels, bias } = operandsOf(gate.node)
  const operands = { ...operandsOf(up.node), gate: panels, gateBias: bias }
  const attributes = { ...up.node.attributes, function: node.attributes['function'] }
  const fused = rewriter.make(up.node.definition, operands, attributes)
  rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
}
