import { isPlainProduct, operandsOf } from './fuse-matmul.ts'
import type { Rule } from './rewriter.ts'

/**
 * gated(split(x·[gate | up])), the matrix packed and cut between panels  →  two products by views of its parts, which
 * fuseGate makes one of that stores neither.
 */
export const splitGatedProduct: Rule = (node, rewriter) => {
  if (node.definition.name !== 'gated') return
  const [gate, up] = [rewriter.input(node, 'gate'), rewriter.input(node, 'up')]
  const split = gate?.node
  if (!split || split.definition.name !== 'split' || split !== up?.node || gate === up) return
  const product = rewriter.input(split, 'x')
  const { axis, sizes } = split.attributes as { axis: number; sizes: readonly number[] }
  if (!isPlainProduct(product) || rewriter.uses(product) !== 1 || axis !== product.shape.length - 1) return
  if (rewriter.uses(gate) !== 1 || rewriter.uses(up) !== 1) return
  const { attributes, definition } = product.node
  const { panels, bias, ...others } = operandsOf(product.node)
  // Each has as many columns as a row of it has words.
  const columns = panels?.shape.at(-1)
  if (!panels || sizes.some((size) => size % columns! !== 0)) return
  const [rows] = attributes['shape'] as readonly number[]
  const inPanels = sizes.map((size) => size / columns!)
  const matrices = rewriter.make(split.definition, { x: panels }, { axis: 0, sizes: inPanels }).outputs
  const biases = bias && rewriter.make(split.definition, { x: bias }, { axis: 0, sizes }).outputs
  split.outputs.forEach((output, index) => {
    const operands = { ...others, panels: matrices[index], bias: biases?.[index] }
    const part = rewriter.make(definition, operands, { ...attributes, shape: [rows, sizes[index]!] })
    rewriter.replace(output, part.outputs[0]!)
  })
}
