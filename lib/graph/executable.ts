import { ArgumentError, ExecutionError } from '../errors.ts'
import { native } from '../native/load.ts'
import type { NativeProgram, NativeStorage } from '../native/native.ts'
import type { Shape } from '../tensor/shape.ts'
import { allocate, allocateMemory, Tensor, withMemory, type Memory } from '../tensor/tensor.ts'
import { encode } from './encode.ts'
import type { Graph } from './graph.ts'
import { lower, type Buffer, type Instruction } from './lower.ts'
import { planMemory } from './plan.ts'
import type { Precision } from './precision.ts'
import { noteRun, type InstructionProfile } from './profile.ts'
import { rewrite } from './rewrites/index.ts'
import type { Leaf } from './tree.ts'
import type { Value } from './trace.ts'

/** Where a binding comes from that differs from run to run. */
type RunPlace = { input: number } | { output: number }

/** A program for inputs of fixed types (but for the number of rows), ready to run again and again. */
export class Executable {
  readonly #program: NativeProgram
  readonly #inputs: readonly Value[]
  readonly #outputs: readonly Value[]
  /** Weights and other tensors that are the same in every run: the first bindings. */
  readonly #captured: readonly Tensor[]
  /** What was in them when the program was told last. */
  #kept: readonly Memory[] = []
  /** For each other binding of a run, how to get it. */
  readonly #bindings: readonly RunPlace[]
  readonly #instructions: readonly Instruction[]
  readonly #capacity: number
  /** Tensors that data was copied into for earlier runs, to be used again. */
  readonly #spare: (Tensor | undefined)[][] = []
  /** Of the latest run. */
  #rows: number
  #disposed = false

  constructor(traced: Graph, inputs: readonly Value[], capacity: number, precision: Precision) {
    const graph = rewrite(traced, precision)
    const lowered = lower(graph, inputs)
    const plan = planMemory(lowered.buffers)
    const slots = new Map<Buffer, number>()
    const used = lowered.buffers.filter(({ first }) => first >= 0)
    const captured = used.flatMap(({ place }) => (place !== 'arena' && 'captured' in place ? [place.captured] : []))
    const bindings: RunPlace[] = []
    let kept = 0
    for (const buffer of used) {
      if (buffer.place === 'arena') continue
      if ('captured' in buffer.place) slots.set(buffer, ++kept)
      else slots.set(buffer, captured.length + bindings.push(buffer.place))
    }
    this.#captured = captured
    this.#inputs = inputs
    this.#outputs = graph.outputs
    this.#bindings = bindings
    this.#capacity = capacity
    this.#rows = capacity
    this.#instructions = lowered.instructions
    const code = encode(lowered, plan, slots)
    this.#program = withMemory(
      'compile: the program',
      plan.arenaBytes,
      () => new native.Program(code, plan.arenaBytes, slots.size, capacity, lowered.commitIndex),
    )
  }

  get memoryBytes(): number {
    return this.#program.memoryBytes
  }
  /** Names of the instructions, in order. */
  get instructions(): readonly string[] {
    return this.#instructions.map(({ name }) => name)
  }

  runSync(leaves: readonly Leaf[]): Tensor[] {
    const call = this.#prepare(leaves)
    try {
      this.#program.runSync(call.bindings, call.rows)
    } catch (cause) {
      call.fail()
      throw new ExecutionError((cause as Error).message, { cause })
    }
    return call.finish()
  }

  run(leaves: readonly Leaf[], signal: AbortSignal | undefined): Promise<Tensor[]> {
    signal?.throwIfAborted()
    const call = this.#prepare(leaves)
    return new Promise((resolve, reject) => {
      const ticket = this.#program.run(call.bindings, call.rows, (error) => {
        signal?.removeEventListener('abort', abort)
        if (error === undefined) resolve(call.finish())
        else {
          call.fail()
          reject(error === null ? signal?.reason : new ExecutionError(error.message, { cause: error }))
        }
      })
      const abort = (): void => this.#program.abort(ticket)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  profile(): InstructionProfile[] {
    const figures = this.#program.profile()
    return this.#instructions.map(({ name, operands }, i) => ({
      instruction: name,
      nanoseconds: figures[2 * i]!,
      calls: figures[2 * i + 1]!,
      operands: operands.map(
        (operand) =>
          operand && { dtype: operand.dtype, shape: this.#shapeOf(operand.view.shape, operand.rowFactors, this.#rows) },
      ),
    }))
  }
  setProfiling(on: boolean): void {
    this.#program.setProfiling(on)
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#program.dispose()
    for (const set of this.#spare) for (const tensor of set) tensor?.dispose()
  }

  #prepare(leaves: readonly Leaf[]): { bindings: NativeStorage[]; rows: number; finish(): Tensor[]; fail(): void } {
    const rows = this.#rowsOf(leaves)
    this.#rows = rows
    noteRun(this)
    this.#keepCaptured()
    const staged = this.#spare.pop() ?? []
    const outputs: Memory[] = []
    const bindings = this.#bindings.map((place): NativeStorage => {
      if ('output' in place) {
        const { shape, dtype } = this.#outputs[place.output]!
        outputs[place.output] = allocateMemory('run', shape, dtype)
        return outputs[place.output]!.storage
      }
      const leaf = leaves[place.input]!
      const input = this.#inputs[place.input]!
      if (leaf instanceof Tensor && !input.rowFactors.some((f) => f !== 0)) return leaf.memory('run').storage
      // Data that is no tensor yet, and rows of which there may be fewer than the capacity, are copied in.
      const target = (staged[place.input] ??= allocate('run', input.shape, input.dtype))
      if (typeof leaf === 'number') target.data()[0] = leaf
      else target.data().set(leaf instanceof Tensor ? leaf.data() : leaf)
      return target.memory('run').storage
    })
    return {
      bindings,
      rows,
      finish: () => {
        this.#giveBack(staged)
        return this.#outputs.map(({ shape, dtype, rowFactors }, i) => {
          return new Tensor(this.#shapeOf(shape, rowFactors, rows), dtype, outputs[i])
        })
      },
      fail: () => {
        this.#giveBack(staged)
        for (const memory of outputs) memory.retain().release()
      },
    }
  }

  /** Tells the program where the captured tensors are, if it does not know: there may be hundreds of them. */
  #keepCaptured(): void {
    const same = this.#captured.every((tensor, i) => tensor.memory('run') === this.#kept[i])
    if (same && this.#kept.length === this.#captured.length) return
    this.#kept = this.#captured.map((tensor) => tensor.memory('run'))
    this.#program.keep(this.#kept.map(({ storage }) => storage))
  }

  /** What a shape is with so many rows. */
  #shapeOf(shape: Shape, rowFactors: Shape, rows: number): number[] {
    return shape.map((d, axis) => d - rowFactors[axis]! * (this.#capacity - rows))
  }

  #giveBack(staged: (Tensor | undefined)[]): void {
    if (this.#disposed) for (const tensor of staged) tensor?.dispose()
    else this.#spare.push(staged)
  }

  #rowsOf(leaves: readonly Leaf[]): number {
    let rows: number | undefined
    this.#inputs.forEach(({ rowFactors }, i) => {
      if (rowFactors[0] !== 1) return
      const leaf = leaves[i]!
      const own = leaf instanceof Tensor ? leaf.shape[0]! : (leaf as { length: number }).length
      if (own > this.#capacity || own !== (rows ?? own))
        throw new ArgumentError(`run: expected ${rows ?? `at most ${this.#capacity}`} rows, got ${own}`)
      rows = own
    })
    return rows ?? this.#capacity
  }
}
