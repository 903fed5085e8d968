import { removeDeadNodes, schedule, type Graph } from '../graph.ts'
import { dropUnitFactor, fuseEmbeddingGradient } from './fuse-gradients.ts'
import { fuseActivation, fuseActivationGradient, fuseBias } from './fuse-matmul.ts'
import { fuseResidualNorm, fuseResidualNormGradient } from './fuse-norm.ts'
import { transposeProduct } from './transpose-product.ts'
import { applyRule, type Rule } from './rewriter.ts'

/** In this order: a bias has to be inside the product before its activation can follow. */
const rules: readonly Rule[] = [
  dropUnitFactor,
  fuseEmbeddingGradient,
  transposeProduct,
  fuseBias,
  fuseActivation,
  fuseActivationGradient,
  fuseResidualNorm,
  fuseResidualNormGradient,
]

/** Everything that makes the graph do less work; the values that come out stay the same. */
export function rewrite(graph: Graph): Graph {
  let current = removeDeadNodes(graph)
  for (const rule of rules) current = removeDeadNodes(applyRule(current, rule))
  return schedule(current)
}
