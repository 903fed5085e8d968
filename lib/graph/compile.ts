import { ArgumentError, checkInteger, checkOptions, describe, DisposedError } from '../errors.ts'
import { checkAttached, dtypeOf, type NumberArray } from '../tensor/dtype.ts'
import { sameShape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { Executable } from './executable.ts'
import type { TensorType } from './op.ts'
import { checkPrecision, type Precision } from './precision.ts'
import type { InstructionProfile } from './profile.ts'
import { activeTrace, Trace, withTrace, type Value } from './trace.ts'
import { leavesLike, mapTree, type Leaf } from './tree.ts'

/** What a compiled function takes where the function itself takes `I`: a tensor may be given as its data. */
export type Inputs<I> = I extends Tensor
  ? Tensor | NumberArray | number
  : I extends ReadonlyMap<infer K, infer V>
    ? ReadonlyMap<K, Inputs<V>>
    : I extends object
      ? { [K in keyof I]: Inputs<I[K]> }
      : I

export interface CompileOptions {
  /**
   * The first dimension of the named inputs may differ from run to run, up to `capacity`, without tracing again. All of
   * them have the same number of rows in one run.
   */
  rows?: { capacity: number; inputs: readonly string[] }
  /**
   * bf16: every matrix product, those of attention too, forward and backward, rounds its operands to bfloat16 while it
   * packs them. Everything else, sums and parameters too, stays f32. f32 unless said.
   */
  precision?: Precision
}

export interface RunOptions {
  /** Stops the run within 50 ms, unless it already changes parameters; the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

export interface Compiled<I, O> extends Disposable {
  /** Runs off the event loop. The tensors of the result belong to the caller. */
  run(inputs: Inputs<I>, options?: RunOptions): Promise<O>
  /** Runs on this thread. */
  runSync(inputs: Inputs<I>): O
  /** Time per instruction since `setProfiling(true)`, for the shapes of the latest run. */
  profile(): InstructionProfile[]
  setProfiling(on: boolean): void
  /** Bytes of planned memory of all traced shapes. */
  readonly memoryBytes: number
  /** Names of the native instructions for the shapes of the latest run. */
  readonly instructions: readonly string[]
  dispose(): void
}

/**
 * Makes one native program of a function of tensors. The function is called once per combination of input shapes, with
 * symbolic tensors; what it computes is differentiated where it asks for gradients, rewritten, planned and run without
 * coming back to JavaScript. Concrete tensors that it uses, such as parameters, are read (or updated) at each run.
 */
export function compile<I, O>(fn: (inputs: I) => O, options: CompileOptions = {}): Compiled<I, O> {
  if (typeof fn !== 'function') throw new ArgumentError(`compile: expected a function, got ${describe(fn)}`)
  checkOptions('compile', options, ['rows', 'precision'])
  if (options.precision !== undefined) checkPrecision('compile', options.precision)
  if (options.rows !== undefined) {
    checkOptions('compile: rows', options.rows, ['capacity', 'inputs'])
    const { capacity, inputs } = options.rows
    checkInteger('compile', 'rows.capacity', capacity, 1, maxRows)
    if (!Array.isArray(inputs) || inputs.length === 0 || !inputs.every((name) => typeof name === 'string'))
      throw new ArgumentError(`compile: rows.inputs should be an array of names of inputs, got ${describe(inputs)}`)
  }
  return new CompiledFunction(fn, options)
}

/** The addon's limit on a program's capacity. */
const maxRows = 2 ** 32

/** What an input has to be for a program. */
class LeafType {
  readonly path: string
  readonly type: DynamicType

  constructor(path: string, type: DynamicType) {
    this.path = path
    this.type = type
  }
}
type DynamicType = TensorType & { readonly dynamic: boolean }

interface Specialised {
  /** The structure of the inputs, with LeafTypes. */
  readonly given: unknown
  readonly executable: Executable
  /** The structure of the result, its leaves numbered. */
  readonly structure: unknown
}

class CompiledFunction<I, O> implements Compiled<I, O> {
  readonly #fn: (inputs: I) => O
  readonly #options: CompileOptions
  readonly #specialised = new Map<string, Specialised>()
  #latest: Specialised | undefined
  #profiling = false
  #disposed = false

  constructor(fn: (inputs: I) => O, options: CompileOptions) {
    this.#fn = fn
    this.#options = options
  }

  async run(inputs: Inputs<I>, options: RunOptions = {}): Promise<O> {
    checkOptions('run', options, { signal: 'signal' })
    const { leaves, specialised } = this.#specialise(inputs)
    return this.#rebuild(specialised, await specialised.executable.run(leaves, options.signal))
  }

  runSync(inputs: Inputs<I>): O {
    const { leaves, specialised } = this.#specialise(inputs)
    return this.#rebuild(specialised, specialised.executable.runSync(leaves))
  }

  profile(): InstructionProfile[] {
    return this.#latest?.executable.profile() ?? []
  }
  setProfiling(on: boolean): void {
    if (typeof on !== 'boolean') throw new ArgumentError(`setProfiling: expected true or false, got ${describe(on)}`)
    this.#profiling = on
    for (const { executable } of this.#specialised.values()) executable.setProfiling(on)
  }
  get memoryBytes(): number {
    let bytes = 0
    for (const { executable } of this.#specialised.values()) bytes += executable.memoryBytes
    return bytes
  }
  get instructions(): readonly string[] {
    return this.#latest?.executable.instructions ?? []
  }

  dispose(): void {
    this.#disposed = true
    for (const { executable } of this.#specialised.values()) executable.dispose()
    this.#specialised.clear()
    this.#latest = undefined
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  #specialise(inputs: Inputs<I>): { leaves: Leaf[]; specialised: Specialised } {
    if (activeTrace())
      throw new ArgumentError(
        'run: a compiled function can not run while another one is traced; call the function itself',
      )
    if (this.#disposed) throw new DisposedError('run: this compiled function was disposed')
    const latest = this.#latest
    const same =
      latest &&
      leavesLike(inputs, latest.given, LeafType, (leaf, { path, type }) => sameType(this.#typeOf(leaf, path), type))
    if (same) return { leaves: same, specialised: latest }
    const leaves: Leaf[] = []
    const types: LeafType[] = []
    const given = mapTree('run', inputs, (leaf, path) => {
      leaves.push(leaf)
      types.push(new LeafType(path, this.#typeOf(leaf, path)))
      return types.at(-1)!
    })
    const key = JSON.stringify(given, (_, value) => {
      if (value instanceof LeafType) return `${value.type.dtype}[${value.type.shape.join()}]`
      return value instanceof Map ? [...value] : value
    })
    let specialised = this.#specialised.get(key)
    if (!specialised) {
      const unknown = this.#options.rows?.inputs.find((name) => !types.some(({ path }) => path === name))
      if (unknown !== undefined)
        throw new ArgumentError(
          `compile: rows names ${describe(unknown)}, but the inputs are ${types.map(({ path }) => path).join(', ')}`,
        )
      specialised = {
        given,
        ...this.#trace(
          inputs,
          types.map(({ type }) => type),
        ),
      }
      specialised.executable.setProfiling(this.#profiling)
      this.#specialised.set(key, specialised)
    }
    this.#latest = specialised
    return { leaves, specialised }
  }

  #typeOf(leaf: Leaf, path: string): DynamicType {
    const dtype = leaf instanceof Tensor ? leaf.dtype : (dtypeOf(leaf) ?? 'f32')
    if (leaf instanceof Tensor) leaf.memory(`run: input ${path}`)
    else if (typeof leaf !== 'number') checkAttached(`run: input ${path}`, leaf)
    const shape = leaf instanceof Tensor ? leaf.shape : typeof leaf === 'number' ? [] : [leaf.length]
    const { rows } = this.#options
    if (!rows?.inputs.includes(path)) return { shape, dtype, dynamic: false }
    if (shape.length === 0 || shape[0]! > rows.capacity)
      throw new ArgumentError(
        `run: input ${path} should have at most ${rows.capacity} rows, got shape [${shape.join(', ')}]`,
      )
    return { shape: [rows.capacity, ...shape.slice(1)], dtype, dynamic: true }
  }

  #trace(inputs: Inputs<I>, types: readonly DynamicType[]): Omit<Specialised, 'given'> {
    const trace = new Trace()
    const traced: Value[] = []
    const symbolic = mapTree('run', inputs, () => {
      const { dynamic, ...type } = types[traced.length]!
      const tensor = trace.input(type, dynamic)
      traced.push(tensor.value)
      return tensor
    }) as I
    const outputs: Value[] = []
    const structure = withTrace(trace, () =>
      mapTree('compile', this.#fn(symbolic), (leaf, path) => {
        if (!(leaf instanceof Tensor))
          throw new ArgumentError(
            `compile: the function should return tensors, got ${describe(leaf)}${path && ` at ${path}`}`,
          )
        outputs.push(trace.valueOf('compile', leaf))
        return outputs.length - 1
      }),
    )
    const { rows, precision = 'f32' } = this.#options
    const executable = new Executable({ nodes: trace.nodes, outputs }, traced, rows?.capacity ?? 0, precision)
    return { executable, structure }
  }

  #rebuild({ structure }: Specialised, results: readonly Tensor[]): O {
    return mapTree('run', structure, (leaf) => results[leaf as number]) as O
  }
}

const sameType = (a: DynamicType, b: DynamicType): boolean =>
  a.dtype === b.dtype && a.dynamic === b.dynamic && sameShape(a.shape, b.shape)
