import { encode } from '../../lib/graph/encode.ts'
import { lower, type Buffer as Piece, type Instruction, type Lowered, type Operand } from '../../lib/graph/lower.ts'
import type { TensorType } from '../../lib/graph/op.ts'
import type { Precision } from '../../lib/graph/precision.ts'
import { rewrite } from '../../lib/graph/rewrites/index.ts'
import { Trace, withTrace, type TracedTensor } from '../../lib/graph/trace.ts'
import { native } from '../../lib/native/load.ts'
import type { NativeStorage } from '../../lib/native/native.ts'
import { bytesPerElement, typedArrayOf, type DType, type TypedArrays } from '../../lib/tensor/dtype.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

export type Data = TypedArrays[DType]
export type Inputs = Readonly<Record<string, ArrayLike<number>>>

/** A NaN that no arithmetic makes; in pairs, an f64 one. */
const sentinel = 0x7fc5a5a5
const guardBytes = 256

/**
 * What `compile` makes of a function, but each buffer lies between guard zones, and everything that is not an input is
 * full of NaN before a run: what is not written, read before it is written, or written outside, shows. The addon itself
 * looks behind its workspace.
 */
export class GuardedProgram {
  /** Names of the operations that the function called, those of its gradient, and those of rewrites. */
  readonly operations: readonly string[]
  readonly #lowered: Lowered
  readonly #inputs: readonly { name: string; operand: Operand | undefined; updated: boolean }[]
  readonly #elementBytes: number
  readonly #slots: ReadonlyMap<Piece, number>
  readonly #storage: NativeStorage

  constructor(
    fn: (inputs: Record<string, Tensor>) => readonly Tensor[],
    types: Readonly<Record<string, TensorType>>,
    precision: Precision = 'f32',
  ) {
    const trace = new Trace()
    const symbols = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, trace.input(type, false)]))
    const outputs = withTrace(trace, () => fn(symbols)).map((tensor) => (tensor as TracedTensor).value)
    const inputs = Object.values(symbols).map(({ value }) => value)
    const graph = rewrite({ nodes: trace.nodes, outputs }, precision)
    const updates = new Set(
      graph.nodes.flatMap(({ definition, inputs: read }) =>
        definition.outputs.map(({ updates }) => read[definition.operands.findIndex(({ name }) => name === updates)]),
      ),
    )
    this.operations = [...trace.nodes, ...graph.nodes].map(({ definition }) => definition.name)
    this.#lowered = lower(graph, inputs)
    const operands = this.#lowered.instructions.flatMap((instruction) =>
      instruction.operands.filter((o) => o !== undefined),
    )
    this.#inputs = inputs.map((value, i) => {
      const buffer = this.#lowered.buffers[i]!
      const operand = { ...value, buffer, view: { shape: value.shape, strides: [], offset: 0 } }
      return {
        name: Object.keys(types)[i]!,
        operand: buffer.first < 0 ? undefined : operand,
        updated: updates.has(value),
      }
    })
    for (const buffer of this.#lowered.buffers) buffer.place = { input: 0 }
    this.#slots = new Map(this.#lowered.buffers.map((buffer) => [buffer, 1]))
    this.#elementBytes = Math.max(4, ...operands.map(({ dtype }) => bytesPerElement[dtype]))
    this.#storage = new native.Storage(this.#place().end)
  }

  get instructions(): readonly Instruction[] {
    return this.#lowered.instructions
  }

  /** Runs everything in one call. The buffers begin `shift` elements after a cache line. */
  run(inputs: Inputs, shift = 0): Data[] {
    const offsets = this.#fill(inputs, shift)
    native.execute(encode(this.#lowered, { arenaBytes: 0, offsets }, this.#slots), [this.#storage])
    this.#checkMemory(offsets, inputs)
    return this.#results(offsets)
  }

  /** Runs instruction by instruction and lets `change` have every f64 number that lies in memory between them. */
  runChanged(inputs: Inputs, change: (data: Float64Array) => void): Data[] {
    const offsets = this.#fill(inputs, 0)
    const apply = (operand: Operand | undefined): void => {
      if (operand?.dtype === 'f64') change(this.#data(operand.buffer, 'f64', offsets) as Float64Array)
    }
    for (const { operand } of this.#inputs) apply(operand)
    for (const instruction of this.#lowered.instructions) {
      const step = { ...this.#lowered, instructions: [instruction] }
      native.execute(encode(step, { arenaBytes: 0, offsets }, this.#slots), [this.#storage])
      if (instruction.name !== 'copy') written(instruction).forEach(apply)
    }
    return this.#results(offsets)
  }

  dispose(): void {
    this.#storage.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  /** Where buffers begin when nothing is shifted, and where the last guard zone ends. */
  #place(): { offsets: Map<Piece, number>; end: number } {
    const offsets = new Map<Piece, number>()
    let end = 0
    for (const buffer of this.#lowered.buffers) {
      if (buffer.first < 0) continue
      const start = Math.ceil((end + guardBytes) / 64) * 64
      offsets.set(buffer, start)
      end = start + buffer.bytes
    }
    return { offsets, end: Math.ceil((end + 2 * guardBytes) / 64) * 64 }
  }

  #fill(inputs: Inputs, shift: number): Map<Piece, number> {
    const offsets = new Map([...this.#place().offsets].map(([buffer, at]) => [buffer, at + shift * this.#elementBytes]))
    new Uint32Array(this.#storage.buffer()).fill(sentinel)
    for (const { name, operand } of this.#inputs)
      if (operand) this.#data(operand.buffer, operand.dtype, offsets).set(inputs[name]!)
    return offsets
  }

  #data(buffer: Piece, dtype: DType, offsets: ReadonlyMap<Piece, number>): Data {
    return typedArrayOf(dtype, this.#storage.buffer(), offsets.get(buffer)!, buffer.bytes / bytesPerElement[dtype])
  }

  #results(offsets: ReadonlyMap<Piece, number>): Data[] {
    const updated = this.#inputs.flatMap(({ operand, updated }) => (operand && updated ? [operand] : []))
    return [...this.#lowered.outputs, ...updated].map(({ buffer, dtype }) => this.#data(buffer, dtype, offsets).slice())
  }

  #checkMemory(offsets: ReadonlyMap<Piece, number>, inputs: Inputs): void {
    const words = new Uint32Array(this.#storage.buffer())
    const halves = new Uint16Array(words.buffer)
    let end = 0
    for (const [buffer, start] of offsets) {
      this.#checkGuard(halves, end, start)
      end = start + buffer.bytes
      const unwritten = words.subarray(start / 4, Math.floor(end / 4)).indexOf(sentinel)
      if (unwritten >= 0)
        throw new Error(`word ${unwritten} of ${buffer.bytes / 4} was never written; users: ${this.#users(buffer)}`)
    }
    this.#checkGuard(halves, end, words.byteLength)
    for (const { name, operand, updated } of this.#inputs) {
      if (!operand || updated) continue
      const before = inputs[name]!
      this.#data(operand.buffer, operand.dtype, offsets).forEach((value, i) => {
        if (!Object.is(value, before[i])) throw new Error(`element ${i} of the input ${name} was changed`)
      })
    }
  }

  #checkGuard(halves: Uint16Array, start: number, end: number): void {
    const guard = halves.subarray(start / 2, end / 2)
    const touched = guard.findIndex((half, i) => half !== ((start / 2 + i) % 2 ? sentinel >>> 16 : sentinel & 0xffff))
    if (touched >= 0) throw new Error(`${2 * touched} bytes behind the end of a buffer something was written`)
  }

  #users(buffer: Piece): string {
    const users = this.#lowered.instructions.filter(({ operands }) => operands.some((o) => o?.buffer === buffer))
    return users.map(({ name }) => name).join(', ')
  }
}

function written({ name, operands }: Instruction): readonly (Operand | undefined)[] {
  return operands.slice(-native.operations.find((operation) => operation.name === name)!.outputs)
}

export const sameBits = (a: Data, b: Data): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
