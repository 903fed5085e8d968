import { ArgumentError, DisposedError, DTypeError, ExecutionError, ShapeError, describe } from '../errors.ts'
import { totalmem } from 'node:os'
import { native } from '../native/load.ts'
import type { NativeStorage } from '../native/native.ts'
import {
  bytesPerElement,
  checkAttached,
  checkDType,
  dtypeOf,
  readNumbers,
  typedArrayOf,
  writeNumbers,
  type DType,
  type NumberArray,
  type TypedArrays,
} from './dtype.ts'
import { checkShape, formatShape, maxRank, sameShape, sizeOf, type Shape } from './shape.ts'

/** Native memory that one or more tensors share; given back when the last of them is disposed. */
export class Memory {
  readonly storage: NativeStorage
  #owners = 0

  constructor(storage: NativeStorage) {
    this.storage = storage
  }
  retain(): this {
    this.#owners++
    return this
  }
  release(): void {
    if (--this.#owners === 0) this.storage.dispose()
  }
}

/** @internal What a parameter may hold instead of numbers: a form that only operations made for it read. */
export abstract class PackedForm {
  abstract dispose(): void
  /** How messages call it. */
  abstract toString(): string
}

/**
 * A dense row-major array of one element type in native memory.
 *
 * Inside a function given to `compile`, tensors are symbolic: they have a shape and a dtype, but no data yet. The
 * operations (`x.add(y)`, …) are attached by `heedful`'s ops; this class knows layout only.
 *
 * Memory comes back with `dispose()` or `using`; the garbage collector does it otherwise, later.
 */
export class Tensor<D extends DType = DType> implements Disposable {
  readonly shape: Shape
  readonly dtype: D
  #memory: Memory | PackedForm | 'unbound' | undefined

  /** @internal Use `tensor(...)`. 'unbound': a shape that gets its memory with `bind`. */
  constructor(shape: Shape, dtype: D, memory?: Memory | 'unbound') {
    if (!(memory instanceof Memory || memory === 'unbound' || this.isTraced))
      throw new ArgumentError(`${new.target.name}: expected native memory, got ${describe(memory)}; use tensor(…)`)
    this.shape = Object.freeze([...shape])
    this.dtype = dtype
    this.#memory = memory instanceof Memory ? memory.retain() : memory
  }

  get rank(): number {
    return this.shape.length
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }
  /** True in code that is being traced: a shape without data. */
  get isTraced(): boolean {
    return false
  }
  get isDisposed(): boolean {
    return !this.isTraced && this.#memory === undefined
  }

  /** @internal A parameter that is a shape so far: its model waits for the values of a file. */
  get isUnbound(): boolean {
    return this.#memory === 'unbound'
  }

  /** @internal Gives a tensor that was made unbound its memory, or a packed form instead, which is disposed with it. */
  bind(memory: Memory | PackedForm): this {
    if (!this.isUnbound) throw new ArgumentError('bind: this tensor is not waiting for memory')
    if (!(memory instanceof Memory || memory instanceof PackedForm))
      throw new ArgumentError(`bind: expected native memory, got ${describe(memory)}`)
    this.#memory = memory instanceof Memory ? memory.retain() : memory
    return this
  }

  /** @internal What it holds instead of numbers. */
  get packed(): PackedForm | undefined {
    return this.#memory instanceof PackedForm ? this.#memory : undefined
  }

  /** @internal The memory; throws DisposedError after `dispose()`. */
  memory(operation: string): Memory {
    if (this.#memory instanceof Memory) return this.#memory
    if (this.#memory === 'unbound')
      throw new ExecutionError(`${operation}: this tensor ${formatShape(this.shape)} has no values yet; load its model`)
    if (this.packed)
      throw new ExecutionError(
        `${operation}: this weight is kept as ${this.packed.toString()}, which can only be multiplied by; open the model with { dtype: 'f32', trainable: true } to train or save it or to read its values`,
      )
    throw new DisposedError(
      `${operation}: this tensor ${formatShape(this.shape)} was disposed; keep it alive until its last use`,
    )
  }

  /**
   * The elements in row-major order: a view of the native memory, not a copy. Writing to it changes the tensor; after
   * `dispose()` its length is 0. Those of bf16 are bits; `toArray()` gives numbers.
   */
  data(): TypedArrays[D] {
    return this.#read('data')
  }

  #read(operation: string): TypedArrays[D] {
    const { storage } = this.memory(operation)
    try {
      return typedArrayOf(this.dtype, storage.buffer(), 0, this.size)
    } catch (cause) {
      throw new ExecutionError(
        `${operation}: the data of this tensor ${formatShape(this.shape)} can not be read: ${(cause as Error).message}`,
        { cause },
      )
    }
  }

  /** Nested arrays of numbers; a number for a scalar. */
  toArray(): NestedNumbers {
    const data = readNumbers(this.#read('toArray'), this.dtype)
    let next = 0
    const build = (axis: number): NestedNumbers =>
      axis === this.rank ? data[next++]! : Array.from({ length: this.shape[axis]! }, () => build(axis + 1))
    return build(0)
  }

  /** The only element. Throws ShapeError when there are more or none. */
  item(): number {
    if (this.size !== 1)
      throw new ShapeError(`item: expected a tensor of one element, got shape ${formatShape(this.shape)}`)
    return readNumbers(this.#read('item'), this.dtype)[0]!
  }

  /** Overwrites the elements. Shapes must be equal; numbers are converted to this dtype. */
  copyFrom(source: Tensor | readonly number[] | NumberArray): this {
    const same = source instanceof Tensor && source.dtype === this.dtype
    const from = source instanceof Tensor ? source.#numbers('copyFrom', same) : source
    if (source instanceof Tensor && !sameShape(source.shape, this.shape))
      throw new ShapeError(`copyFrom: expected shape ${formatShape(this.shape)}, got ${formatShape(source.shape)}`)
    if (!(source instanceof Tensor)) checkNumbers('copyFrom', source)
    if (from.length !== this.size)
      throw new ShapeError(
        `copyFrom: expected ${this.size} elements for shape ${formatShape(this.shape)}, got ${from.length}`,
      )
    if (same) this.#read('copyFrom').set(from)
    else writeNumbers(this.#read('copyFrom'), this.dtype, from)
    return this
  }

  #numbers(operation: string, asStored: boolean): TypedArrays[DType] {
    const data = this.#read(operation)
    return asStored ? data : readNumbers(data, this.dtype)
  }

  /** Gives the memory back. A second call does nothing; programs that still run keep what they need. */
  dispose(): void {
    if (this.#memory instanceof Memory) this.#memory.release()
    else this.packed?.dispose()
    this.#memory = undefined
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  toString(): string {
    return `Tensor ${this.dtype} ${formatShape(this.shape)}`
  }
}

/** A tensor that training changes. Its name is its field path in the module that holds it. */
export class Parameter<D extends DType = DType> extends Tensor<D> {
  /** false: `valueAndGrad` leaves it alone unless it is asked for by name, and so does `Trainer`. */
  trainable = true
}

export type NestedNumbers = number | NestedNumbers[]

/** Uninitialised in meaning, zero in fact. Throws ExecutionError when memory can't be had. */
export function allocate<D extends DType>(operation: string, shape: Shape, dtype: D): Tensor<D> {
  return new Tensor(shape, dtype, allocateMemory(operation, shape, dtype))
}

export function allocateMemory(operation: string, shape: Shape, dtype: DType): Memory {
  const bytes = sizeOf(shape) * bytesPerElement[dtype]
  return new Memory(
    withMemory(`${operation}: a tensor of shape ${formatShape(shape)}`, bytes, () => new native.Storage(bytes)),
  )
}

/** Memory that a file is mapped to, or undefined where the system or the alignment of `position` does not allow it. */
export function mapMemory(fd: number, position: number, size: number, dtype: DType): Memory | undefined {
  if (position % bytesPerElement[dtype]) return undefined
  const storage = native.Storage.map(fd, position, size * bytesPerElement[dtype])
  return storage && new Memory(storage)
}

/** What `storage.share(key)` of this or another thread of the process put there, if it fits. */
export function sharedMemory(key: string, shape: Shape, dtype: DType): Memory | undefined {
  const storage = native.Storage.shared(key)
  if (storage?.byteLength === sizeOf(shape) * bytesPerElement[dtype]) return new Memory(storage)
  storage?.dispose()
  return undefined
}

/** What the system has, or the container that the process runs in. */
const memoryLimit = Math.min(totalmem(), process.constrainedMemory() || Infinity)

/**
 * What `allocate` gives, or ExecutionError. Does not even try what can't fit: systems that promise more memory than
 * they have would kill the process later.
 */
export function withMemory<T>(what: string, bytes: number, allocate: () => T): T {
  const live = native.liveBytes()
  if (live + bytes > memoryLimit)
    throw new ExecutionError(
      `${what} takes ${bytes} bytes, but this machine has ${memoryLimit}, of which ${live} are in use by tensors and programs; dispose what is not needed, or make it smaller`,
    )
  try {
    return allocate()
  } catch (cause) {
    throw new ExecutionError(`${what}: ${(cause as Error).message}`, { cause })
  }
}

/** Bytes of native memory that tensors and programs of this process hold now. */
export function liveBytes(): number {
  return native.liveBytes()
}

export interface TensorOptions<D extends DType> {
  dtype?: D
  shape?: Shape
}

/**
 * From numbers, nested arrays or a typed array. The dtype is f32 unless given or the typed array's; with the dtype bf16 a
 * Uint16Array holds the bits.
 */
export function fromData<D extends DType>(
  data: NestedNumbers | TypedArrays[DType],
  options: TensorOptions<D> = {},
): Tensor<D> {
  const bits = data instanceof Uint16Array && options.dtype === 'bf16'
  const dtype = (options.dtype === undefined ? (dtypeOf(data) ?? 'f32') : checkDType('tensor', options.dtype)) as D
  let flat: ArrayLike<number>
  let shape: number[]
  if (ArrayBuffer.isView(data)) {
    if (!bits && dtypeOf(data) === undefined)
      throw new DTypeError(
        `tensor: expected a Float32Array, Float64Array or Int32Array, or a Uint16Array of bits with the dtype bf16, got ${describe(data)}`,
      )
    checkAttached('tensor', data)
    flat = data
    shape = [data.length]
  } else {
    shape = nestedShape(data)
    flat = flatten(data, shape)
  }
  if (options.shape !== undefined) {
    const wanted = checkShape('tensor', options.shape)
    if (sizeOf(wanted) !== flat.length)
      throw new ShapeError(`tensor: shape ${formatShape(wanted)} holds ${sizeOf(wanted)} elements, got ${flat.length}`)
    shape = wanted
  }
  const result = allocate('tensor', checkShape('tensor', shape), dtype)
  if (bits) result.data().set(flat)
  else writeNumbers(result.data(), dtype, flat)
  return result
}

function checkNumbers(operation: string, values: readonly number[] | NumberArray): void {
  if (dtypeOf(values)) checkAttached(operation, values as NumberArray)
  else if (!Array.isArray(values) || !values.every((value) => typeof value === 'number'))
    throw new ArgumentError(
      `${operation}: expected a tensor, numbers or a Float32Array, Float64Array or Int32Array, got ${describe(values)}`,
    )
}

function nestedShape(data: unknown): number[] {
  const shape: number[] = []
  for (let level = data; Array.isArray(level); level = level[0])
    if (shape.push(level.length) > maxRank)
      throw new ShapeError(`tensor: expected a rank of at most ${maxRank}, got arrays that are nested deeper`)
  return shape
}

function flatten(data: unknown, shape: number[]): number[] {
  const flat: number[] = []
  const visit = (value: unknown, axis: number, path: string): void => {
    if (axis === shape.length) {
      if (typeof value !== 'number')
        throw new ArgumentError(`tensor: expected a number at ${path || 'the top'}, got ${describe(value)}`)
      flat.push(value)
    } else {
      if (!Array.isArray(value) || value.length !== shape[axis])
        throw new ShapeError(
          `tensor: expected ${shape[axis]} elements at ${path || 'the top'}, got ${describe(value)}; nested arrays must be rectangular`,
        )
      value.forEach((inner, i) => visit(inner, axis + 1, `${path}[${i}]`))
    }
  }
  visit(data, 0, '')
  return flat
}
