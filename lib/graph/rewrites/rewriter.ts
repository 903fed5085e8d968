import { makeNode, type Node, type Value } from '../trace.ts'
import type { Attributes, OpDefinition } from '../op.ts'
import { countUses, Replacements, schedule, type Graph } from '../graph.ts'

/** What a rewrite rule may ask and do while it looks at one node. */
export interface Rewriter {
  /** How often a value is read, outputs included. */
  uses(value: Value): number
  /** The nodes that read a value, each once. */
  readers(value: Value): readonly Node[]
  /** The input `name` of a node, after earlier rewrites. */
  input(node: Node, name: string): Value | undefined
  /** Whether `value` is computed from an output of `node`. */
  dependsOn(value: Value | undefined, node: Node): boolean
  /** A new node of a definition; missing operands are absent. */
  make(definition: OpDefinition, inputs: Readonly<Record<string, Value | undefined>>, attributes: Attributes): Node
  /** Gives a node that changes something in place, and so can't be made again, other operands and more attributes. */
  give(node: Node, inputs: Readonly<Record<string, Value>>, attributes?: Attributes): void
  /** From now on readers of `old` read `by`. */
  replace(old: Value, by: Value): void
}

export type Rule = (node: Node, rewriter: Rewriter) => void

/** Applies a rule to every node, in order, then puts the nodes into an order that can run. */
export function applyRule(graph: Graph, rule: Rule): Graph {
  const replacements = new Replacements()
  const uses = countUses(graph)
  const readers = new Map<Value, Set<Node>>()
  for (const node of graph.nodes)
    for (const input of node.inputs) if (input) readers.set(input, (readers.get(input) ?? new Set()).add(node))
  const made: Node[] = []
  let changed = false
  const resolve = (value: Value | undefined): Value | undefined => value && replacements.resolve(value)
  const rewriter: Rewriter = {
    uses: (value) => uses.get(value) ?? 0,
    readers: (value) => [...(readers.get(value) ?? [])],
    input: (node, name) => resolve(node.inputs[node.definition.operands.findIndex((o) => o.name === name)]),
    dependsOn(value, target) {
      const seen = new Set<Node>()
      const pending = [value?.node]
      for (let node = pending.pop(); node || pending.length; node = pending.pop()) {
        if (node === target) return true
        if (!node || seen.has(node)) continue
        seen.add(node)
        for (const input of node.inputs) pending.push(resolve(input)?.node)
      }
      return false
    },
    make(definition, named, attributes) {
      const inputs = definition.operands.map(({ name }) => named[name])
      const node = makeNode(definition, inputs, attributes)
      made.push(node)
      for (const input of inputs) if (input) uses.set(input, (uses.get(input) ?? 0) + 1)
      return node
    },
    give(node, named, attributes = {}) {
      const { operands } = node.definition
      const inputs = node.inputs.map((input, i) => named[operands[i]!.name] ?? input)
      Object.assign(node, { inputs, attributes: { ...node.attributes, ...attributes } })
      for (const value of Object.values(named)) uses.set(value, (uses.get(value) ?? 0) + 1)
      changed = true
    },
    replace(old, by) {
      replacements.replace(old, by)
      changed = true
      uses.set(by, (uses.get(by) ?? 0) + (uses.get(old) ?? 0))
    },
  }
  // Rules see nodes as they are after the rewrites so far; what they make is looked at by the next pass only.
  const nodes: Node[] = []
  for (const node of graph.nodes) {
    const before = made.length
    rule(node, rewriter)
    nodes.push(...made.slice(before), node)
  }
  if (!changed) return graph
  for (const node of nodes) Object.assign(node, { inputs: node.inputs.map(resolve) })
  return schedule({ nodes, outputs: graph.outputs.map((output) => resolve(output)!) })
}
