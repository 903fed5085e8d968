import { setImmediate } from 'node:timers/promises'
import {
  ArgumentError,
  checkInteger,
  checkOptions,
  describe,
  DisposedError,
  DTypeError,
  ExecutionError,
  FileError,
} from '../errors.ts'
import type { OpenFile } from '../files/open-file.ts'
import type { OnProgress } from '../files/progress.ts'
import type { DType } from '../tensor/dtype.ts'
import { sizeOf, type Shape } from '../tensor/shape.ts'
import { allocate, mapMemory, Tensor } from '../tensor/tensor.ts'
import type { FileType } from './file-types.ts'

/** What a checkpoint tells of a tensor before it is read. */
export interface CheckpointTensor {
  /** Row-major, outermost dimension first, whatever the order in the file. */
  readonly shape: Shape
  /** How its numbers lie in the file, as the format calls it: `F32`, `BF16`, `Q4_K`, … */
  readonly fileType: string
  /** Of what `read` gives; undefined: only `readBytes` can give it. */
  readonly dtype: DType | undefined
  /** In the file. */
  readonly byteLength: number
}

export interface ReadOptions {
  /** Stops between two chunks of a few megabytes; the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

export interface PartOptions extends ReadOptions {
  /** Only the rows [begin, end) of the first dimension. */
  rows?: readonly [begin: number, end: number]
}

export interface TensorOptions extends PartOptions {
  /**
   * Numbers that lie in the file as a tensor has them (F32, F64, I32) are not copied: the tensor is a mapping of the
   * file, which other processes share, and is read when it is first used. Writing to it changes the tensor alone.
   * As long as the tensor lives, the file may be replaced or removed, but not be overwritten in place or made shorter.
   */
  mapped?: boolean
}

export interface CheckpointOptions extends ReadOptions {
  /** Called whenever some megabytes have been read: bytes of the tensors read so far, and of all. */
  onProgress?: OnProgress
}

/**
 * Named tensors in one file or several, read one at a time. Opening reads the headers only. The files stay open until
 * `close()`; a file that is replaced meanwhile is still read as it was.
 */
export interface Checkpoint extends AsyncDisposable {
  readonly format: 'safetensors' | 'gguf'
  /** The folder or file that was opened. */
  readonly path: string
  /** What the files say beside the tensors. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** In the order of the files. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /**
   * One tensor, which belongs to the caller. Narrower floats and quantized blocks become f32, exactly; integers i32.
   *
   * Throws ArgumentError for a name that is not there, DTypeError for a type that can not be read as numbers, FileError
   * for an integer that does not fit and for files that were changed since they were opened.
   */
  read(name: string, options?: TensorOptions): Promise<Tensor>
  /** The bytes of one tensor as they lie in the file. */
  readBytes(name: string, options?: PartOptions): Promise<Uint8Array>
  /** @internal The same into memory of the caller, of exactly so many bytes. */
  readBytesInto(name: string, target: Uint8Array, options?: PartOptions): Promise<void>
  /** @internal The same for the same tensor of the same file, whoever opens it. */
  identity(name: string): string
  /** Closes the files, after the reads that have begun. Tensors that were read stay. A second call does nothing. */
  close(): Promise<void>
}

/** Where a tensor lies. */
export interface StoredTensor {
  readonly shape: Shape
  readonly type: FileType
  readonly byteLength: number
  readonly file: OpenFile
  /** Of its first byte in the file. */
  readonly position: number
}

export interface CheckpointContents {
  readonly format: Checkpoint['format']
  readonly path: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly tensors: ReadonlyMap<string, StoredTensor>
  /** Closed with the checkpoint. */
  readonly files: readonly OpenFile[]
}

/** Read between two looks at the signal: some milliseconds. */
const chunkBytes = 2 ** 22

/** A checkpoint of any format, once it is known where the tensors lie. `operation` begins its messages. */
export class FileCheckpoint implements Checkpoint {
  readonly format: Checkpoint['format']
  readonly path: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  readonly #operation: string
  readonly #stored: ReadonlyMap<string, StoredTensor>
  readonly #files: readonly OpenFile[]
  readonly #onProgress: OnProgress | undefined
  /** Bytes of each tensor. */
  readonly #counted = new Map<string, number>()
  readonly #total: number
  #loaded = 0
  #closed = false

  constructor(operation: string, contents: CheckpointContents, { onProgress }: CheckpointOptions = {}) {
    this.#operation = operation
    this.format = contents.format
    this.path = contents.path
    this.metadata = Object.freeze(contents.metadata)
    this.#stored = contents.tensors
    this.#files = contents.files
    this.#onProgress = onProgress
    this.tensors = new Map(
      [...contents.tensors].map(([name, { shape, type, byteLength }]) => [
        name,
        Object.freeze({ shape: Object.freeze([...shape]), fileType: type.name, dtype: type.dtype, byteLength }),
      ]),
    )
    this.#total = [...contents.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  async read(name: string, options: TensorOptions = {}): Promise<Tensor> {
    const { shape, type, byteLength, file, position } = this.#find('read', name, options)
    if (!type.dtype)
      throw new DTypeError(
        `${this.#operation}: ${file.path}: tensor ${JSON.stringify(name)}: ${type.name} can not be read as numbers; readBytes gives its bytes`,
      )
    const { convert, blockBytes, blockSize, dtype } = type
    if (options.mapped && !convert) {
      const memory = mapMemory(file.handle.fd, position, sizeOf(shape), dtype)
      if (memory) {
        this.#count(name, file, byteLength)
        return new Tensor(shape, dtype, memory)
      }
    }
    const tensor = allocate(this.#operation, shape, dtype)
    try {
      const data = tensor.data()
      const target = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      const where = this.#where(name, file)
      if (!convert) await this.#readInto(name, target, file, position, options.signal)
      else {
        const chunk = Math.floor(chunkBytes / blockBytes) * blockBytes
        const scratch = new Uint8Array(Math.min(chunk, byteLength))
        for (let at = 0; at < byteLength; at += chunk) {
          const bytes = scratch.subarray(0, Math.min(chunk, byteLength - at))
          await this.#readInto(name, bytes, file, position + at, options.signal)
          try {
            convert(bytes, data as Float32Array | Int32Array, (at / blockBytes) * blockSize)
          } catch (cause) {
            throw new FileError(`${where}: ${(cause as Error).message}`, { cause })
          }
          // Conversions take milliseconds; others get their turn in between.
          await setImmediate()
        }
      }
      return tensor
    } catch (error) {
      tensor.dispose()
      throw error
    }
  }

  async readBytes(name: string, options: PartOptions = {}): Promise<Uint8Array> {
    const { byteLength, file, position } = this.#find('readBytes', name, options)
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(byteLength)
    } catch (cause) {
      throw new ExecutionError(`${this.#where(name, file)}: no memory for its ${byteLength} bytes`, { cause })
    }
    await this.#readInto(name, bytes, file, position, options.signal)
    return bytes
  }

  async readBytesInto(name: string, target: Uint8Array, options: PartOptions = {}): Promise<void> {
    const { byteLength, file, position } = this.#find('readBytes', name, options)
    if (target.length !== byteLength)
      throw new ArgumentError(`Checkpoint.readBytes: expected memory of ${byteLength} bytes, got ${target.length}`)
    await this.#readInto(name, target, file, position, options.signal)
  }

  identity(name: string): string {
    const { file, position, byteLength, type } = this.#find('identity', name, {})
    return `${file.identity}@${position}+${byteLength} ${type.name}`
  }

  /** Where the tensor lies, or the rows that are wanted of it. */
  #find(method: string, name: string, options: TensorOptions): StoredTensor {
    const operation = `Checkpoint.${method}`
    checkOptions(operation, options, {
      signal: 'signal',
      rows: 'any',
      ...(method === 'read' && { mapped: 'boolean' as const }),
    })
    if (this.#closed) throw new DisposedError(`${operation}: ${this.path} was closed; keep it open until the last read`)
    const stored = this.#stored.get(name)
    if (!stored)
      throw new ArgumentError(
        `${operation}: ${this.path} holds no tensor named ${describe(name)}; checkpoint.tensors lists them`,
      )
    options.signal?.throwIfAborted()
    return options.rows === undefined ? stored : partOf(operation, stored, options.rows)
  }

  #where(name: string, { path }: OpenFile): string {
    return `${this.#operation}: ${path}: tensor ${JSON.stringify(name)}`
  }

  async #readInto(
    name: string,
    target: Uint8Array,
    file: OpenFile,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const where = this.#where(name, file)
    for (let at = 0; at < target.length; at += chunkBytes) {
      signal?.throwIfAborted()
      const chunk = target.subarray(at, at + chunkBytes)
      await file.read(chunk, position + at, where)
      this.#count(name, file, chunk.length)
    }
  }

  /** Nothing counts twice, also where a tensor is read again. */
  #count(name: string, file: OpenFile, bytes: number): void {
    const before = this.#counted.get(name) ?? 0
    const after = Math.min(before + bytes, this.#stored.get(name)!.byteLength)
    if (after === before) return
    this.#counted.set(name, after)
    this.#loaded += after - before
    this.#onProgress?.({ file: file.path, loaded: this.#loaded, total: this.#total })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await closeAll(this.#files)
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function partOf(operation: string, stored: StoredTensor, rows: unknown): StoredTensor {
  const [count, ...row] = stored.shape
  if (!Array.isArray(rows) || rows.length !== 2 || count === undefined || (!row.length && stored.type.blockSize > 1))
    throw new ArgumentError(
      `${operation}: rows should be [begin, end] of a tensor with rows, whole blocks each, got ${describe(rows)}`,
    )
  const end = checkInteger(operation, 'rows[1]', rows[1], 0, count)
  const begin = checkInteger(operation, 'rows[0]', rows[0], 0, end)
  const bytes = count ? stored.byteLength / count : 0
  return {
    ...stored,
    shape: [end - begin, ...row],
    byteLength: (end - begin) * bytes,
    position: stored.position + begin * bytes,
  }
}

/** Closes every file, also when one can't be. */
export async function closeAll(files: readonly OpenFile[]): Promise<void> {
  await Promise.allSettled(files.map((file) => file.close()))
}
