import type { FileHandle } from 'node:fs/promises'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { writeFileAtomically } from '../files/atomic-file.ts'
import { checkPath } from '../files/file-error.ts'
import { isObject, withFile } from '../files/read-file.ts'
import { bytesPerElement } from '../tensor/dtype.ts'
import { allocate, type Memory, type Tensor } from '../tensor/tensor.ts'
import { narrowI64, widenBf16, widenF16, type Convert } from './convert.ts'
import { fileTypes, formatHeader, lengthBytes, maxHeaderBytes, parseHeader, type Entry } from './safetensors-header.ts'

export interface FileOptions {
  /** Stops between two chunks of a few megabytes; the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

export interface Safetensors {
  /** In the order of the file. They belong to the caller. */
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

/** Read or written between two looks at the signal: some milliseconds. A multiple of every element size. */
const chunkBytes = 2 ** 22

const conversions: Readonly<Record<string, Convert>> = { F16: widenF16, BF16: widenBf16, I64: narrowI64 }

/**
 * Reads a safetensors file: u64 length of the header, header (JSON), data. F32, F64 and I32 go straight into the
 * tensors' memory; F16 and BF16 become f32 (exact); I64 becomes i32.
 *
 * Throws FileError, which names the file and what is wrong with it, for everything that is not exactly such a file;
 * nothing is kept then. The header is checked as a whole before memory for any tensor is taken.
 */
export async function readSafetensors(path: string, options: FileOptions = {}): Promise<Safetensors> {
  checkPath('readSafetensors', path)
  checkOptions('readSafetensors', options, { signal: 'signal' })
  const { signal } = options
  signal?.throwIfAborted()
  const where = `readSafetensors: ${path}`
  return withFile('readSafetensors', path, async (handle, size) => {
    const headerBytes = await readHeaderLength(handle, size, where)
    const dataStart = lengthBytes + headerBytes
    const headerData = await readExactly(handle, new Uint8Array(headerBytes), lengthBytes, where)
    const { entries, metadata } = parseHeader(headerData, size - dataStart, where)
    const tensors = new Map<string, Tensor>()
    try {
      let scratch: Uint8Array | undefined
      for (const entry of entries) {
        const tensor = allocate('readSafetensors', entry.shape, fileTypes[entry.fileType]!.dtype)
        tensors.set(entry.name, tensor)
        if (conversions[entry.fileType]) scratch ??= new Uint8Array(chunkBytes)
        await readEntry(handle, entry, dataStart, tensor, scratch, where, signal)
      }
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose()
      throw error
    }
    return { tensors, metadata }
  })
}

async function readHeaderLength(handle: FileHandle, size: number, where: string): Promise<number> {
  if (size < lengthBytes)
    throw new FileError(
      `${where}: too short for a safetensors file: expected at least ${lengthBytes} bytes, got ${size}`,
    )
  const bytes = await readExactly(handle, new Uint8Array(lengthBytes), 0, where)
  const length = new DataView(bytes.buffer).getBigUint64(0, true)
  if (length > maxHeaderBytes)
    throw new FileError(
      `${where}: the header claims ${length} bytes, the format allows ${maxHeaderBytes}; not a safetensors file, or damaged`,
    )
  if (Number(length) > size - lengthBytes)
    throw new FileError(
      `${where}: the header claims ${length} bytes, but the file holds only ${size - lengthBytes} more; truncated or damaged`,
    )
  return Number(length)
}

async function readEntry(
  handle: FileHandle,
  { name, fileType, begin, end }: Entry,
  dataStart: number,
  tensor: Tensor,
  scratch: Uint8Array | undefined,
  where: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const data = tensor.data()
  const convert = conversions[fileType]
  for (let at = begin; at < end; at += chunkBytes) {
    signal?.throwIfAborted()
    const length = Math.min(chunkBytes, end - at)
    if (!convert) {
      const target = new Uint8Array(data.buffer, data.byteOffset + (at - begin), length)
      await readExactly(handle, target, dataStart + at, where)
      continue
    }
    const bytes = await readExactly(handle, scratch!.subarray(0, length), dataStart + at, where)
    try {
      convert(bytes, data as Float32Array | Int32Array, (at - begin) / fileTypes[fileType]!.bytes)
    } catch (cause) {
      throw new FileError(`${where}: tensor ${JSON.stringify(name)}: ${(cause as Error).message}`, { cause })
    }
  }
}

/** Fills `target` from byte `position` of the file. */
async function readExactly<B extends Uint8Array>(
  handle: FileHandle,
  target: B,
  position: number,
  where: string,
): Promise<B> {
  for (let done = 0; done < target.length;) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) throw new FileError(`${where}: the file ended at byte ${position + done} while it was read`)
    done += bytesRead
  }
  return target
}

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
  options: FileOptions = {},
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
