import type { Rule } from './rewriter.ts'

/** Operations that have a precision, forward and backward, take bf16. */
export const lowerPrecision: Rule = (node, rewriter) => {
  if (node.attributes['precision'] !== 'f32') return
  const inputs = Object.fromEntries(node.definition.operands.map(({ name }) => [name, rewriter.input(node, name)]))
  const lowered = rewriter.make(node.definition, inputs, { ...node.attributes, precision: 'bf16' })
  node.outputs.forEach((output, index) => rewriter.replace(output, lowered.outputs[index]!))
}
