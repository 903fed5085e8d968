import { TraceError } from '../errors.ts'
import { bytesPerElement, type DType } from '../tensor/dtype.ts'
import { contiguousStrides, isContiguous, sizeOf, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Graph } from './graph.ts'
import type { Layout, OpDefinition, TensorType, View } from './op.ts'
import type { Node, Value } from './trace.ts'

/** A piece of memory of a program. */
export interface Buffer {
  readonly bytes: number
  /** 'arena': planned; otherwise bound when the program runs. */
  place: 'arena' | { input: number } | { output: number } | { captured: Tensor }
  /** Instructions that touch it first and last. */
  first: number
  last: number
}

export interface Operand {
  readonly buffer: Buffer
  readonly dtype: DType
  readonly view: View
  readonly rowFactors: Shape
}

export interface Instruction {
  readonly name: string
  readonly attributes: readonly number[]
  readonly operands: readonly (Operand | undefined)[]
}

export interface Lowered {
  readonly instructions: readonly Instruction[]
  readonly buffers: readonly Buffer[]
  /** The first instruction that changes state which must not be left half changed. */
  readonly commitIndex: number
  /** Which captured tensor each output is, if it is one. */
  readonly outputs: readonly Operand[]
}

/** Where an output should be made: in the window of input `index` of an assembled value, seen through `views`. */
interface Target {
  readonly parent: Value
  readonly index: number
  /** From the assembled value's input back to the output. */
  readonly views: readonly Node[]
}

/** Turns nodes into instructions on views of buffers: views cost nothing, parts are made where the whole will be. */
export function lower(graph: Graph, inputs: readonly Value[]): Lowered {
  return new Lowering(graph, inputs).run()
}

class Lowering {
  readonly #graph: Graph
  readonly #inputs: readonly Value[]
  readonly #instructions: Instruction[] = []
  readonly #buffers: Buffer[] = []
  readonly #operands = new Map<Value, Operand>()
  readonly #targets = new Map<Value, Target>()
  /** Inputs of assembled values that were made in place. */
  readonly #placed = new Set<Value>()
  /** Reads of a buffer that are still to come, by nodes and as an output. */
  readonly #pending = new Map<Buffer, number>()
  readonly #uses = new Map<Value, number>()
  #commitIndex = -1

  constructor(graph: Graph, inputs: readonly Value[]) {
    this.#graph = graph
    this.#inputs = inputs
  }

  run(): Lowered {
    const { nodes, outputs } = this.#graph
    for (const value of [...nodes.flatMap((node) => node.inputs), ...outputs])
      if (value) this.#uses.set(value, (this.#uses.get(value) ?? 0) + 1)
    this.#inputs.forEach((value, input) => this.#bind(value, { input }))
    for (const node of nodes) this.#chooseTargets(node)
    for (const node of nodes) {
      this.#lowerNode(node)
      for (const input of node.inputs) if (input) this.#consume(input)
    }
    const results = outputs.map((value, index) => this.#output(value, index))
    const commitIndex = this.#commitIndex < 0 ? this.#instructions.length : this.#commitIndex
    return { instructions: this.#instructions, buffers: this.#buffers, commitIndex, outputs: results }
  }

  #bind(value: Value, place: Buffer['place'], order?: readonly number[]): Operand {
    const buffer: Buffer = { bytes: sizeOf(value.shape) * bytesPerElement[value.dtype], place, first: -1, last: -1 }
    this.#buffers.push(buffer)
    return this.#define(value, buffer, wholeView(value.shape, order))
  }

  #define(value: Value, buffer: Buffer, view: View): Operand {
    const operand = { buffer, dtype: value.dtype, view, rowFactors: value.rowFactors }
    this.#operands.set(value, operand)
    this.#pending.set(buffer, (this.#pending.get(buffer) ?? 0) + (this.#uses.get(value) ?? 0))
    return operand
  }

  #consume(value: Value): void {
    const { buffer } = this.#operandOf(value)
    this.#pending.set(buffer, this.#pending.get(buffer)! - 1)
  }

  #operandOf(value: Value): Operand {
    const operand = this.#operands.get(value)
    if (operand) return operand
    if (!value.captured) throw new TraceError('compile: a value is used before it is made; this is a defect of heedful')
    return this.#bind(value, { captured: value.captured })
  }

  /** Parts of an assembled value are made in place when nothing else reads them and their maker can. */
  #chooseTargets(node: Node): void {
    const { definition, inputs, outputs } = node
    if (definition.lowering.kind !== 'assemble') return
    inputs.forEach((input, index) => {
      const views: Node[] = []
      let value = input
      while (value?.node?.definition.lowering.kind === 'view' && this.#uses.get(value) === 1) {
        views.push(value.node)
        value = value.node.inputs[0]
      }
      if (!value?.node || this.#uses.get(value) !== 1) return
      const maker = value.node.definition
      const spec = maker.outputs[value.index]!
      if (maker.lowering.kind === 'instruction' && spec.updates === undefined && spec.layout !== 'contiguous')
        this.#targets.set(value, { parent: outputs[0]!, index, views })
    })
  }

  /** The window that `output` is to be made in, if the views between allow it and the instruction can write to it. */
  #targetOperand(output: Value, layout: Layout | undefined): Operand | undefined {
    const target = this.#targets.get(output)
    if (!target) return undefined
    const part = this.#partOperand(target.parent, target.index)
    let view: View | undefined = part.view
    for (const { definition, inputs, attributes } of target.views) {
      if (definition.lowering.kind !== 'view') return undefined
      view = view && definition.lowering.inverse?.(view, inputs[0]!, attributes)
    }
    if (!view || !fits(view, layout)) return undefined
    this.#placed.add(target.parent.node!.inputs[target.index]!)
    return this.#define(output, part.buffer, view)
  }

  #lowerNode(node: Node): void {
    const { lowering } = node.definition
    if (lowering.kind === 'view') this.#lowerView(node, lowering)
    else if (lowering.kind === 'assemble') this.#lowerAssemble(node)
    else this.#lowerInstruction(node, lowering)
  }

  #lowerView(node: Node, lowering: Extract<OpDefinition['lowering'], { kind: 'view' }>): void {
    const input = this.#operandOf(node.inputs[0]!)
    let source = input
    node.outputs.forEach((output, index) => {
      let view = lowering.view(source.view, output, node.attributes, index)
      if (!view) {
        source = this.#copy(input)
        view = lowering.view(source.view, output, node.attributes, index)!
      }
      if (output.rowFactors.some((f) => f !== 0)) {
        const fewer = lowering.view(
          oneRowFewer(source.view, input.rowFactors),
          { ...output, shape: oneRowFewer({ ...view }, output.rowFactors).shape },
          node.attributes,
          index,
        )
        if (fewer?.offset !== view.offset)
          throw new TraceError(
            `${node.definition.name}: where the result starts depends on the number of rows, which is not known yet; take rows with embedding() and an index instead`,
          )
      }
      this.#define(output, source.buffer, view)
    })
  }

  /** The buffer of an assembled value exists from its first part on. */
  #assembled(value: Value): Operand {
    const known = this.#operands.get(value)
    if (known) return known
    const operand = this.#allocate(value)
    const { definition, inputs, attributes } = value.node!
    if (
      definition.lowering.kind === 'assemble' &&
      !definition.lowering.covers(inputs as readonly TensorType[], value, attributes)
    )
      this.#emit('fill', [0], [operand])
    return operand
  }

  #partOperand(parent: Value, index: number): Operand {
    const whole = this.#assembled(parent)
    const { definition, inputs, attributes } = parent.node!
    if (definition.lowering.kind !== 'assemble')
      throw new TraceError('compile: not an assembled value; this is a defect of heedful')
    const view = definition.lowering.window(index, inputs as readonly TensorType[], whole.view, attributes)
    const { shape, rowFactors } = inputs[index]!
    if (rowFactors.some((f, d) => f !== 0 && shape[d] !== parent.shape[d]))
      throw new TraceError(
        `${definition.name}: parts can't follow one another along the dimension whose number of rows is not known yet`,
      )
    return { ...whole, view, rowFactors }
  }

  #lowerAssemble(node: Node): void {
    const output = node.outputs[0]!
    this.#assembled(output)
    node.inputs.forEach((input, index) => {
      if (input && !this.#placed.has(input))
        this.#emit('copy', [], [this.#operandOf(input), this.#partOperand(output, index)])
    })
  }

  #lowerInstruction(node: Node, lowering: Extract<OpDefinition['lowering'], { kind: 'instruction' }>): void {
    const { definition, inputs, outputs, attributes } = node
    const specs = definition.operands
    const operands = inputs.map((input, i) => {
      if (!input) return undefined
      const operand = this.#operandOf(input)
      return fits(operand.view, specs[Math.min(i, specs.length - 1)]!.layout) ? operand : this.#copy(operand)
    })
    const results = outputs.map((output, index) => {
      const spec = definition.outputs[index]!
      if (spec.optional && !this.#uses.get(output)) return undefined
      if (spec.updates !== undefined) {
        const { buffer, view } = this.#operandOf(inputs[specs.findIndex(({ name }) => name === spec.updates)]!)
        this.#keepOutputs(buffer)
        return this.#define(output, buffer, view)
      }
      const placed = this.#targetOperand(output, spec.layout)
      if (placed) return placed
      const reused = spec.inPlace && this.#reusable(node, operands, spec.inPlace, output)
      return reused ? this.#define(output, reused.buffer, reused.view) : this.#allocate(output, spec.order)
    })
    // Tensors that are updated in place are written, not read: they stand among the outputs only.
    const updated = new Set(definition.outputs.map(({ updates }) => updates))
    const read = operands.filter((_, i) => !updated.has(specs[Math.min(i, specs.length - 1)]!.name))
    if (definition.commits && this.#commitIndex < 0) this.#commitIndex = this.#instructions.length
    this.#emit(lowering.instruction, lowering.attributes(attributes), [...read, ...results])
  }

  /** Results that look at a buffer which is about to change are copied while it is as they should be. */
  #keepOutputs(buffer: Buffer): void {
    for (const value of this.#graph.outputs) {
      const operand = this.#operands.get(value)
      if (operand?.buffer === buffer) this.#operands.set(value, this.#copy(operand))
    }
  }

  /** An input whose memory dies with this node and can carry the output. */
  #reusable(
    node: Node,
    operands: readonly (Operand | undefined)[],
    names: readonly string[],
    output: Value,
  ): Operand | undefined {
    for (const name of names) {
      const index = node.definition.operands.findIndex((operand) => operand.name === name)
      const value = node.inputs[index]
      const operand = operands[index]
      if (!value || !operand || operand.buffer.place !== 'arena' || operand.dtype !== output.dtype) continue
      const isCopy = operand !== this.#operands.get(value)
      const readsHere = node.inputs.filter(
        (input) => input && this.#operands.get(input)?.buffer === operand.buffer,
      ).length
      if (!isCopy && this.#pending.get(operand.buffer) !== readsHere) continue
      if (readsHere > 1 || this.#takenOver.has(operand.buffer)) continue
      const whole =
        operand.view.offset === 0 &&
        sizeOf(operand.view.shape) * bytesPerElement[operand.dtype] === operand.buffer.bytes
      const same =
        sizeOf(output.shape) === sizeOf(operand.view.shape) && output.shape.every((d, i) => d === operand.view.shape[i])
      if (whole && same && isContiguous(operand.view.shape, operand.view.strides)) {
        this.#takenOver.add(operand.buffer)
        return operand
      }
    }
    return undefined
  }
  /** Buffers that an output of the instruction being made has taken already. */
  readonly #takenOver = new Set<Buffer>()

  #allocate(value: Value, order?: readonly number[]): Operand {
    checkRows(value.shape, value.rowFactors, order)
    return this.#bind(value, 'arena', order)
  }

  #copy(source: Operand): Operand {
    const { shape } = source.view
    checkRows(shape, source.rowFactors)
    const buffer: Buffer = { bytes: sizeOf(shape) * bytesPerElement[source.dtype], place: 'arena', first: -1, last: -1 }
    this.#buffers.push(buffer)
    this.#pending.set(buffer, 0)
    const copy = { ...source, buffer, view: wholeView(shape) }
    this.#emit('copy', [], [source, copy])
    return copy
  }

  #emit(name: string, attributes: number[], operands: readonly (Operand | undefined)[]): void {
    const index = this.#instructions.length
    for (const operand of operands) {
      if (!operand) continue
      const { buffer } = operand
      if (buffer.first < 0) buffer.first = index
      buffer.last = index
    }
    this.#takenOver.clear()
    this.#instructions.push({ name, attributes, operands })
  }

  /** Results of a run live in tensors of their own: made there if possible, else copied. */
  #output(value: Value, output: number): Operand {
    const operand = this.#operandOf(value)
    const { buffer, view } = operand
    const whole =
      view.offset === 0 &&
      isContiguous(view.shape, view.strides) &&
      sizeOf(view.shape) * bytesPerElement[operand.dtype] === buffer.bytes
    if (buffer.place === 'arena' && whole) {
      buffer.place = { output }
      return operand
    }
    const copy = this.#copy(operand)
    copy.buffer.place = { output }
    return copy
  }
}

/** All of a buffer, its axes lying in memory in the given order. */
function wholeView(shape: Shape, order?: readonly number[]): View {
  if (!order) return { shape, strides: contiguousStrides(shape), offset: 0 }
  const inMemory = contiguousStrides(order.map((axis) => shape[axis]!))
  return { shape, strides: shape.map((_, axis) => inMemory[order.indexOf(axis)]!), offset: 0 }
}

/** Strides are fixed when a program is planned: only the outermost dimension may follow the number of rows. */
function checkRows(shape: Shape, rowFactors: Shape, order: readonly number[] = shape.map((_, axis) => axis)): void {
  const dynamic = order.findIndex((axis) => rowFactors[axis] !== 0)
  if (dynamic > 0 && order.slice(0, dynamic).some((axis) => shape[axis] !== 1))
    throw new TraceError(
      'compile: the dimension that follows the number of rows has to be the outermost one in memory; transpose it to the front',
    )
}

const oneRowFewer = (view: View, rowFactors: Shape): View => ({
  ...view,
  shape: view.shape.map((d, i) => d - rowFactors[i]!),
})

function fits({ shape, strides }: View, layout: Layout = 'strided'): boolean {
  if (layout === 'contiguous') return isContiguous(shape, strides)
  const dense = (axis: number): boolean => shape.length + axis < 0 || shape.at(axis) === 1 || strides.at(axis) === 1
  if (layout === 'rows') return dense(-1)
  if (layout === 'matrix') return dense(-1) || dense(-2)
  return true
}
