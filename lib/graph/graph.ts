import { TraceError } from '../errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Node, Value } from './trace.ts'

/** What is left of a trace: nodes, in an order in which they can run, and the values that the caller gets. */
export interface Graph {
  readonly nodes: readonly Node[]
  readonly outputs: readonly Value[]
}

/** Follows replaced values to what stands for them now. */
export class Replacements {
  readonly #map = new Map<Value, Value>()

  replace(old: Value, by: Value): void {
    this.#map.set(old, by)
  }
  resolve(value: Value): Value {
    let current = value
    for (let next = this.#map.get(current); next; next = this.#map.get(current)) current = next
    return current
  }
}

/** How many times each value is read, by nodes and as an output. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>()
  const use = (value: Value | undefined): void => {
    if (value) uses.set(value, (uses.get(value) ?? 0) + 1)
  }
  for (const node of graph.nodes) node.inputs.forEach(use)
  graph.outputs.forEach(use)
  return uses
}

/** True for operations that change a captured tensor. */
export const hasEffect = (node: Node): boolean => node.definition.outputs.some(({ updates }) => updates !== undefined)

/** Dead-node removal: what no output and no effect needs is not computed. */
export function removeDeadNodes(graph: Graph): Graph {
  const needed = new Set(graph.outputs)
  const live: Node[] = []
  for (const node of [...graph.nodes].reverse()) {
    if (!hasEffect(node) && !node.outputs.some((output) => needed.has(output))) continue
    live.push(node)
    for (const input of node.inputs) if (input) needed.add(input)
  }
  return { ...graph, nodes: live.reverse() }
}

/**
 * Nodes in an order that respects data flow and, for tensors that are updated in place, that every reader of the old
 * value comes before the update. Otherwise the order in which they stand is kept, and what commits comes last. Throws
 * TraceError when a reader of the old value needs what comes of the update.
 */
export function schedule(graph: Graph): Graph {
  const before = new Map<Node, Set<Node>>(graph.nodes.map((node) => [node, new Set()]))
  const readers = new Map<Value, Node[]>()
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (!input) continue
      if (input.node) before.get(node)!.add(input.node)
      readers.set(input, [...(readers.get(input) ?? []), node])
    }
  }
  // Through views too: they look at the same memory.
  const readersOf = (value: Value): Node[] =>
    (readers.get(value) ?? []).flatMap((reader) =>
      reader.definition.lowering.kind === 'view' ? [reader, ...reader.outputs.flatMap(readersOf)] : [reader],
    )
  for (const node of graph.nodes) {
    for (const { updates } of node.definition.outputs) {
      if (updates === undefined) continue
      const old = node.inputs[node.definition.operands.findIndex(({ name }) => name === updates)]!
      for (const reader of readersOf(old)) if (reader !== node) before.get(node)!.add(reader)
    }
  }
  const order: Node[] = []
  const done = new Set<Node>()
  const underway: Node[] = []
  const place = (node: Node): void => {
    if (done.has(node)) return
    if (underway.includes(node)) throw readAfterUpdate(underway)
    underway.push(node)
    for (const earlier of before.get(node) ?? []) place(earlier)
    underway.pop()
    done.add(node)
    order.push(node)
  }
  for (const node of graph.nodes) if (!node.definition.commits) place(node)
  for (const node of graph.nodes) place(node)
  return { ...graph, nodes: order }
}

function readAfterUpdate(cycle: readonly Node[]): TraceError {
  const name = cycle.findLast(hasEffect)?.definition.name
  return new TraceError(
    `compile: ${name} changes a tensor in place, and what it was before is used together with what comes after; use what ${name} returns`,
  )
}

/** The concrete tensors that the graph reads or updates, each once. */
export function capturedTensors(graph: Graph): Tensor[] {
  const found = new Set<Tensor>()
  for (const node of graph.nodes) for (const input of node.inputs) if (input?.captured) found.add(input.captured)
  for (const output of graph.outputs) if (output.captured) found.add(output.captured)
  return [...found]
}
