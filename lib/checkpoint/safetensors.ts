import type { FileHandle } from 'node:fs/promises'
import { ArgumentError, checkOptions, describe, DTypeError } from '../errors.ts'
import { writeFileAtomically } from '../files/atomic-file.ts'
import { checkPath } from '../files/file-error.ts'
import { isObject } from '../files/read-file.ts'
import { bytesPerElement } from '../tensor/dtype.ts'
import type { Memory, Tensor } from '../tensor/tensor.ts'
import { FileCheckpoint, type CheckpointOptions, type ReadOptions } from './checkpoint.ts'
import { readableTypes } from './file-types.ts'
import { openSafetensorsFile } from './safetensors-file.ts'
import { formatHeader } from './safetensors-header.ts'

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
 * Throws ArgumentError for a name twice, FileError when the file can't be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
  options: ReadOptions = {},
): Promise<void> {
  checkOptions('writeSafetensors', options, { signal: 'signal' })
  const { signal } = options
  signal?.throwIfAborted()
  const entries = checkEntries(tensors)
  if (!isObject(metadata))
    throw new ArgumentError(`writeSafetensors: metadata should be an object of strings, got ${describe(metadata)}`)
  const header = formatHeader(entries, metadata)
  const held: Memory[] = []
  try {
    for (const [, tensor] of entries) held.push(tensor.memory('writeSafetensors').retain())
    await writeFileAtomically(
      path,
      async (handle) => {
        await writeFully(handle, header, signal)
        for (const [i, [, tensor]] of entries.entries()) {
          const bytes = new Uint8Array(held[i]!.storage.buffer(), 0, tensor.size * bytesPerElement[tensor.dtype])
          await writeFully(handle, bytes, signal)
        }
        signal?.throwIfAborted()
      },
      'writeSafetensors',
    )
  } finally {
    for (const memory of held) memory.release()
  }
}

function checkEntries(tensors: Iterable<readonly [string, Tensor]>): (readonly [string, Tensor])[] {
  const isIterable = Symbol.iterator in Object(tensors) && !ArrayBuffer.isView(tensors)
  const entries = isIterable ? [...tensors] : undefined
  if (!entries?.every(Array.isArray))
    throw new ArgumentError(
      `writeSafetensors: expected a map of tensors or [name, tensor] pairs, got ${describe(tensors)}`,
    )
  return entries
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    signal?.throwIfAborted()
    const { bytesWritten } = await handle.write(bytes, done, Math.min(chunkBytes, bytes.length - done))
    done += bytesWritten
  }
}
