import { removeDeadNodes, schedule, type Graph } from '../graph.ts'
import { dropUnitFactor, fuseEmbeddingGradient, storeRowsOfEmbeddingGradient } from './fuse-gradients.ts'
import { fuseLinearCrossEntropy } from './fuse-loss.ts'
import { fuseActivation, fuseActivationGradient, fuseBias, fuseGate } from './fuse-matmul.ts'
import { fuseRotary, shareAngles } from './fuse-rotary.ts'
import { fuseResidualNorm, fuseResidualNormGradient } from './fuse-norm.ts'
import type { Precision } from '../precision.ts'
import { lowerPrecision } from './lower-precision.ts'
import { splitGatedProduct } from './split-gated.ts'
import { transposeProduct } from './transpose-product.ts'
import { applyRule, type Rule } from './rewriter.ts'

/** In this order: a bias has to be inside the product before its activation can follow. */
const rules: readonly Rule[] = [
  dropUnitFactor,
  fuseEmbeddingGradient,
  storeRowsOfEmbeddingGradient,
  transposeProduct,
  fuseBias,
  fuseLinearCrossEntropy,
  splitGatedProduct,
  fuseGate,
  fuseActivation,
  fuseActivationGradient,
  fuseResidualNorm,
  fuseResidualNormGradient,
  shareAngles,
  fuseRotary,
]

/**
 * Everything that makes the graph do less work; the values that come out stay the same, but for the precision when it is
 * bf16.
 */
export function rewrite(graph: Graph, precision: Precision = 'f32'): Graph {
  let current = removeDeadNodes(graph)
  for (const rule of precision === 'bf16' ? [lowerPrecision, ...rules] : rules)
    current = removeDeadNodes(applyRule(current, rule))
  return schedule(current)
}
