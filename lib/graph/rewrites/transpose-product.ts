import { isPlainProduct } from './fuse-matmul.ts'
import type { Rule } from './rewriter.ts'

/** (a·b)ᵀ  →  bᵀ·aᵀ: gradients of transposed weights are made as the weights lie, instead of being copied over. */
export const transposeProduct: Rule = (node, rewriter) => {
  if (node.definition.name !== 'transpose') return
  const product = rewriter.input(node, 'x')
  if (!isPlainProduct(product) || product.node.definition.name !== 'matmul' || rewriter.uses(product) !== 1) return
  const [a, b, bias] = product.node.inputs
  const rank = product.shape.length
  const axes = product.shape.map((_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i))
  const swapped = axes.every((axis, i) => axis === (node.attributes['axes'] as number[])[i])
  if (bias || !swapped || a!.shape.length !== rank || b!.shape.length !== rank) return
  const [left, right] = [b!, a!].map((x) => rewriter.make(node.definition, { x }, { axes }).outputs[0]!)
  const turned = rewriter.make(product.node.definition, { a: left, b: right }, product.node.attributes)
  rewriter.replace(node.outputs[0]!, turned.outputs[0]!)
}
