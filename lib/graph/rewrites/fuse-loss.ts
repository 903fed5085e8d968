import { sameShape } from '../../tensor/shape.ts'
import type { Node, Value } from '../trace.ts'
import { isPlainProduct } from './fuse-matmul.ts'
import type { Rewriter, Rule } from './rewriter.ts'

/** What a matrix looks at: `source`, with its leading dimensions flattened or not, transposed or not. */
interface Seen {
  readonly source: Value
  readonly transposed: boolean
}

const columnsOf = ({ shape }: Value): number => shape.at(-1)!

const isTransposition = ({ definition, attributes }: Node): boolean =>
  definition.name === 'transpose' && String(attributes['axes']) === '1,0'

/** Whether a node shows a matrix as another one, as `seen` looks through it. */
function isMatrixView(node: Node, x: Value): boolean {
  const {
    definition,
    outputs: [y],
  } = node
  if (definition.name === 'transpose') return isTransposition(node)
  return definition.name === 'reshape' && x.shape.length > 1 && y!.shape.length > 1 && columnsOf(x) === columnsOf(y!)
}

function seen(value: Value, rewriter: Rewriter): Seen {
  let [source, transposed] = [value, false]
  for (let { node } = source; node; { node } = source) {
    const x = rewriter.input(node, 'x')
    if (!x || !isMatrixView(node, x)) break
    if (node.definition.name === 'transpose') transposed = !transposed
    source = x
  }
  return { source, transposed }
}

/** The nodes that read a value or such a view of it; undefined when the program gives it back. */
function readersOf(value: Value, rewriter: Rewriter): Node[] | undefined {
  const readers = rewriter.readers(value)
  if (readers.flatMap(({ inputs }) => inputs.filter((x) => x === value)).length !== rewriter.uses(value))
    return undefined
  const all: Node[] = []
  for (const node of readers) {
    const further = isMatrixView(node, value) ? readersOf(node.outputs[0]!, rewriter) : [node]
    if (!further) return undefined
    all.push(...further)
  }
  return all
}

const isUnit = (value: Value | undefined): boolean =>
  value?.node?.definition.name === 'fill' && value.node.attributes['value'] === 1

/**
 * crossEntropy(x·wᵀ + b), and what its gradient leads to  →  linearCrossEntropy: the logits of all rows are never stored.
 * Only where nothing else reads the logits or their gradients, the loss itself is differentiated (its gradient is 1), and
 * w lies as [classes, columns].
 */
export const fuseLinearCrossEntropy: Rule = (node, rewriter) => {
  const linear = node.definition.variants?.['ofProduct']
  if (!linear || node.attributes['reduction'] === 0) return
  const logits = rewriter.input(node, 'logits')!
  const { source: product, transposed } = seen(logits, rewriter)
  if (transposed || !isPlainProduct(product) || product.node.definition.name !== 'matmul') return
  const [a, b, bias] = ['a', 'b', 'bias'].map((name) => rewriter.input(product.node, name))
  const [hidden, weight] = [seen(a!, rewriter), seen(b!, rewriter)]
  const plain =
    product.node.attributes['precision'] === 'f32' && !hidden.transposed && weight.transposed && b!.node !== undefined
  if (!plain || !isTransposition(b!.node!) || product.rowFactors.some((factor) => factor !== 0)) return

  const backward = readersOf(product, rewriter)?.filter((reader) => reader !== node)
  if (!backward || backward.length > 1 || rewriter.uses(node.outputs[1]!) !== backward.length) return
  const replaced: { readonly old: Value; readonly output: number; readonly transposed: boolean }[] = []
  for (const gradient of backward) {
    const isOwn = gradient.definition.name === 'crossEntropyGradient' && gradient.inputs[2] === node.outputs[1]
    if (!isOwn || !isUnit(rewriter.input(gradient, 'gradLoss'))) return
    for (const reader of readersOf(gradient.outputs[0]!, rewriter) ?? [undefined]) {
      const use = reader && gradientIn(reader, gradient.outputs[0]!, hidden.source, weight.source, rewriter)
      if (!use || (use.output === 3 && !bias)) return
      replaced.push(use)
    }
  }

  const reshaped = (x: Value, shape: readonly number[]): Value | undefined =>
    sameShape(x.shape, shape) ? x : rewriter.make(logits.node!.definition, { x }, { shape }).outputs[0]
  const inputs = {
    hidden: reshaped(a!, [logits.shape[0]!, columnsOf(a!)]),
    weight: weight.source,
    targets: rewriter.input(node, 'targets'),
    bias,
  }
  const fused = rewriter.make(linear, inputs, node.attributes)
  rewriter.replace(node.outputs[0]!, fused.outputs[0]!)
  for (const { old, output, transposed: turned } of replaced) {
    const made = fused.outputs[output]!
    const as = turned ? rewriter.make(b!.node!.definition, { x: made }, { axes: [1, 0] }).outputs[0]! : made
    rewriter.replace(old, reshaped(as, old.shape)!)
  }
}

/** Which output of linearCrossEntropy a reader of the logits' gradients computes, transposed or not. */
function gradientIn(
  reader: Node,
  gradLogits: Value,
  hidden: Value,
  weight: Value,
  rewriter: Rewriter,
): { old: Value; output: number; transposed: boolean } | undefined {
  const old = reader.outputs[0]!
  if (reader.definition.name === 'sum') {
    // The sum over rows, and the view of it without their dimension.
    const [view, ...others] = rewriter.readers(old)
    const isOfRows =
      old.shape.slice(0, -1).every((d) => d === 1) &&
      columnsOf(old) === columnsOf(gradLogits) &&
      !seen(rewriter.input(reader, 'x')!, rewriter).transposed
    const vector = view?.outputs[0]
    if (!isOfRows || others.length || rewriter.uses(old) !== 1 || view?.definition.name !== 'reshape') return undefined
    return vector!.shape.length === 1 ? { old: vector!, output: 3, transposed: false } : undefined
  }
  if (!isPlainProduct(old) || reader.definition.name !== 'matmul' || rewriter.input(reader, 'bias')) return undefined
  const [a, b] = [rewriter.input(reader, 'a')!, rewriter.input(reader, 'b')!].map((x) => seen(x, rewriter))
  const matches = (x: Seen, source: Value, transposed: boolean): boolean =>
    x.source === source && x.transposed === transposed
  if (matches(a!, gradLogits, false) && matches(b!, weight, false)) return { old, output: 1, transposed: false }
  if (matches(a!, gradLogits, true) && matches(b!, hidden, false)) return { old, output: 2, transposed: false }
  if (matches(a!, hidden, true) && matches(b!, gradLogits, false)) return { old, output: 2, transposed: true }
  return undefined
}
