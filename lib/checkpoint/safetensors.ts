import type { FileHandle } from 'node:fs/promises'
import { ArgumentError, checkOptions, describe, DTypeError } from '../errors.ts'
import { writeFileAtomically } from '../files/atomic-file.ts'
import { checkPath } from '../files/file-error.ts'
import { isObject } from '../files/read-file.ts'
import { bytesPerElement } from '../tensor/dtype.ts'
import { Tensor, type Memory } from '../tensor/tensor.ts'
import { FileCheckpoint, type Checkpoint, type CheckpointOptions, type ReadOptions } from './checkpoint.ts'
import { readableTypes } from './file-types.ts'
import { narrow, narrowTypes, type NarrowType } from './narrow.ts'
import { openSafetensorsFile } from './safetensors-file.ts'
import { formatHeader } from './safetensors-header.ts'

export interface WriteOptions extends ReadOptions {
  /** What f32 is rounded to (nearest, ties to even); other tensors are written as they are. */
  dtype?: 'f32' | NarrowType
}

export interface Safetensors {
  /** In the order of the file. They belong to the caller. */
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

/**
 * Reads a safetensors file as a whole; `openCheckpoint` reads one tensor at a time. F32, F64 and I32 go straight into
 * the tensors' memory; F16 and BF16 become f32 (exact); I64, I8, U8 and BOOL become i32.
 *
 * Throws FileError, which names the file and what is wrong with it, for everything that is not exactly such a file;
 * nothing is kept then. The header is checked as a whole before memory for any tensor is taken.
 */
export async function readSafetensors(path: string, options: CheckpointOptions = {}): Promise<Safetensors> {
  checkPath('readSafetensors', path)
  checkOptions('readSafetensors', options, { signal: 'signal', onProgress: 'function' })
  const { signal } = options
  signal?.throwIfAborted()
  const { file, tensors: stored, metadata } = await openSafetensorsFile('readSafetensors', path)
  await using checkpoint = new FileCheckpoint(
    'readSafetensors',
    { format: 'safetensors', path, metadata, tensors: stored, files: [file] },
    options,
  )
  for (const [name, { type }] of stored)
    if (!type.dtype)
      throw new DTypeError(
        `readSafetensors: ${path}: tensor ${JSON.stringify(name)}: ${type.name} can not be read as numbers; supported: ${readableTypes.join(', ')}`,
      )
  const tensors = new Map<string, Tensor>()
  try {
    for (const name of stored.keys()) tensors.set(name, await checkpoint.read(name, signal ? { signal } : {}))
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose()
    throw error
  }
  return { tensors, metadata }
}

/** Written between two looks at the signal: some milliseconds. */
const chunkBytes = 2 ** 22

/**
 * Writes a safetensors file, the tensors in the given order, atomically: `path` is as it was until everything is on the
 * disk. Off the event loop; the tensors must not change, but may be disposed, until the promise resolves. Programs that
 * read the file with PyTorch expect the metadata `{ format: 'pt' }`.
 *
 * Throws ArgumentError for a name twice and a number that is too large for `dtype`, FileError when the file can't be
 * written.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Promise<void> {
  checkOptions('writeSafetensors', options, { dtype: 'any', signal: 'signal' })
  const { signal } = options
  const dtype = checkNarrow('writeSafetensors', options.dtype)
  signal?.throwIfAborted()
  const entries = checkEntries('writeSafetensors', tensors)
  if (!isObject(metadata))
    throw new ArgumentError(`writeSafetensors: metadata should be an object of strings, got ${describe(metadata)}`)
  const header = formatHeader(entries, metadata, dtype)
  const held: Memory[] = []
  try {
    for (const [, tensor] of entries) held.push(tensor.memory('writeSafetensors').retain())
    await writeFileAtomically(
      path,
      async (handle) => {
        await writeFully(handle, header, signal)
        for (const [i, [name, tensor]] of entries.entries()) {
          const buffer = held[i]!.storage.buffer()
          if (dtype && tensor.dtype === 'f32')
            await writeNarrowed(handle, new Float32Array(buffer, 0, tensor.size), dtype, name, signal)
          else await writeFully(handle, new Uint8Array(buffer, 0, tensor.size * bytesPerElement[tensor.dtype]), signal)
        }
        signal?.throwIfAborted()
      },
      'writeSafetensors',
    )
  } finally {
    for (const memory of held) memory.release()
  }
}

/**
 * @internal Writes the tensors of a checkpoint into one safetensors file, atomically, f32 rounded to `dtype`. One tensor at a
 * time is in memory.
 */
export async function copySafetensors(
  operation: string,
  path: string,
  checkpoint: Checkpoint,
  dtype: NarrowType,
  { signal, onProgress }: CheckpointOptions,
): Promise<void> {
  const shapes = [...checkpoint.tensors].map(([name, { shape, dtype: read, fileType }]): [string, Tensor] => {
    if (!read)
      throw new DTypeError(`${operation}: tensor ${JSON.stringify(name)}: ${fileType} can not be read as numbers`)
    return [name, new Tensor(shape, read, 'unbound')]
  })
  const total = [...checkpoint.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  let loaded = 0
  await writeFileAtomically(
    path,
    async (handle) => {
      await writeFully(handle, formatHeader(shapes, { format: 'pt' }, dtype), signal)
      for (const [name, { byteLength }] of checkpoint.tensors) {
        using tensor = await checkpoint.read(name, { mapped: true, ...(signal && { signal }) })
        const data = tensor.data()
        if (tensor.dtype === 'f32') await writeNarrowed(handle, data as Float32Array, dtype, name, signal)
        else await writeFully(handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), signal)
        loaded += byteLength
        onProgress?.({ file: path, loaded, total })
      }
      signal?.throwIfAborted()
    },
    operation,
  )
}

/** `dtype`, or undefined for f32. */
export function checkNarrow(operation: string, dtype: unknown): NarrowType | undefined {
  if (dtype === undefined || dtype === 'f32') return undefined
  if (!narrowTypes.includes(dtype as NarrowType))
    throw new ArgumentError(
      `${operation}: dtype should be one of f32, ${narrowTypes.join(', ')}, got ${describe(dtype)}`,
    )
  return dtype as NarrowType
}

async function writeNarrowed(
  handle: FileHandle,
  data: Float32Array,
  dtype: NarrowType,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const chunk = chunkBytes / 4
  for (let at = 0; at < data.length; at += chunk) {
    let words: Uint16Array
    try {
      words = narrow(data.subarray(at, at + chunk), dtype, at)
    } catch (cause) {
      throw new ArgumentError(`writeSafetensors: tensor ${JSON.stringify(name)}: ${(cause as Error).message}`, {
        cause,
      })
    }
    await writeFully(handle, new Uint8Array(words.buffer), signal)
  }
}

/** The pairs of a map or list. */
export function checkEntries(
  operation: string,
  tensors: Iterable<readonly [string, Tensor]>,
): (readonly [string, Tensor])[] {
  const isIterable = Symbol.iterator in Object(tensors) && !ArrayBuffer.isView(tensors)
  const entries = isIterable ? [...tensors] : undefined
  if (!entries?.every(Array.isArray))
    throw new ArgumentError(`${operation}: expected a map of tensors or [name, tensor] pairs, got ${describe(tensors)}`)
  return entries
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    signal?.throwIfAborted()
    const { bytesWritten } = await handle.write(bytes, done, Math.min(chunkBytes, bytes.length - done))
    done += bytesWritten
  }
}
