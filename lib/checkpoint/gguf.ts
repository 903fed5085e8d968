import { FileError } from '../errors.ts'
import { OpenFile } from '../files/open-file.ts'
import { formatShape } from '../tensor/shape.ts'
import type { CheckpointContents, StoredTensor } from './checkpoint.ts'
import { bytesOf, type FileType } from './file-types.ts'
import { GgufCursor } from './gguf-cursor.ts'
import { readValue, type GgufValue } from './gguf-metadata.ts'
import { ggmlTypes } from './gguf-types.ts'

/** ggml's limits. */
const maxRank = 4
const maxNameBytes = 64
const maxKeyBytes = 2 ** 16 - 1
const maxTensors = 1_000_000
const maxKeys = 100_000
/**
 * Opens a GGUF file, version 2 or 3: keys with values, then names, shapes and types of tensors, then their data, each at
 * a multiple of general.alignment. Dimensions stand innermost first in the file, and are turned round here.
 *
 * Throws FileError for everything that is not exactly such a file: the tensors must follow each other without gaps
 * or overlaps and end with the file. Time and memory are bounded by its size.
 */
export async function openGguf(
  operation: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<CheckpointContents> {
  const file = await OpenFile.open(operation, path)
  try {
    const cursor = new GgufCursor(file, `${operation}: ${path}`, signal)
    const { tensorCount, keyCount } = await readCounts(cursor)
    const metadata = await readMetadata(cursor, keyCount)
    const infos = await readTensorInfos(cursor, tensorCount)
    const tensors = placeTensors(cursor, file, infos, readAlignment(cursor.where, metadata))
    checkWhole(cursor.where, metadata)
    return { format: 'gguf', path, metadata: Object.fromEntries(metadata), tensors, files: [file] }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readCounts(cursor: GgufCursor): Promise<{ tensorCount: number; keyCount: number }> {
  const { where } = cursor
  await cursor.need(24, 'the header')
  const magic = cursor.u32()
  if (magic !== 0x46554747) throw new FileError(`${where}: not a GGUF file: it should start with "GGUF"`)
  const version = cursor.u32()
  if (version !== 2 && version !== 3)
    throw new FileError(
      version & 0xffff
        ? `${where}: expected version 2 or 3 of GGUF, got ${version}; convert the model again with a newer llama.cpp`
        : `${where}: this GGUF file is big-endian; convert the model again for little-endian`,
    )
  const tensorCount = cursor.expect(cursor.u64(), 24, 'tensors')
  const keyCount = cursor.expect(cursor.u64(), 13, 'keys')
  if (tensorCount > maxTensors || keyCount > maxKeys)
    throw new FileError(
      `${where}: expected at most ${maxTensors} tensors and ${maxKeys} keys, got ${tensorCount} and ${keyCount}`,
    )
  return { tensorCount, keyCount }
}

async function readMetadata(cursor: GgufCursor, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < count; i++) {
    const key = await readName(cursor, maxKeyBytes, `key ${i}`)
    const what = `key ${JSON.stringify(key)}`
    if (metadata.has(key)) throw new FileError(`${cursor.where}: the ${what} comes twice`)
    await cursor.need(4, what)
    metadata.set(key, await readValue(cursor, cursor.u32(), what))
  }
  return metadata
}

async function readName(cursor: GgufCursor, maxBytes: number, what: string): Promise<string> {
  await cursor.need(8, what)
  const length = cursor.u64()
  if (length === 0n || length > maxBytes)
    throw new FileError(`${cursor.where}: ${what}: expected a name of 1 to at most ${maxBytes} bytes, got ${length}`)
  await cursor.need(Number(length), what)
  return cursor.text(Number(length), what)
}

interface TensorInfo {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: FileType
  readonly byteLength: number
  readonly offset: bigint
}

async function readTensorInfos(cursor: GgufCursor, count: number): Promise<TensorInfo[]> {
  const infos: TensorInfo[] = []
  for (let i = 0; i < count; i++) {
    const name = await readName(cursor, maxNameBytes, `tensor ${i}`)
    const where = `${cursor.where}: tensor ${JSON.stringify(name)}`
    await cursor.need(4, `tensor ${i}`)
    const rank = cursor.u32()
    if (rank > maxRank) throw new FileError(`${where}: expected a rank of at most ${maxRank}, got ${rank}`)
    await cursor.need(8 * rank + 12, `tensor ${i}`)
    const dims = Array.from({ length: rank }, () => cursor.u64())
    const shape = dims.map(Number).reverse()
    const number = cursor.u32()
    const offset = cursor.u64()
    const type = ggmlTypes.get(number)
    if (!type) throw new FileError(`${where}: type ${number} is not known`)
    const byteLength = bytesOf(type, shape)
    if (Number.isNaN(byteLength))
      throw new FileError(`${where}: shape ${formatShape(shape)} has rows that are no whole blocks of ${type.name}`)
    if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(byteLength))
      throw new FileError(`${where}: shape ${formatShape(shape)} of ${type.name} is too large`)
    infos.push({ name, shape, type, byteLength, offset })
  }
  return infos
}

function readAlignment(where: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 65536 || alignment & (alignment - 1))
    throw new FileError(`${where}: general.alignment should be a power of two up to 65536, got ${String(alignment)}`)
  return alignment
}

function placeTensors(
  { where, position }: GgufCursor,
  file: OpenFile,
  infos: readonly TensorInfo[],
  alignment: number,
): Map<string, StoredTensor> {
  const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment
  const tensors = new Map<string, StoredTensor>()
  const start = padded(position)
  let end = 0
  for (const { name, shape, type, byteLength, offset } of infos) {
    const of = `${where}: tensor ${JSON.stringify(name)}`
    if (tensors.has(name)) throw new FileError(`${of} comes twice`)
    if (offset !== BigInt(padded(end)))
      throw new FileError(
        `${of}: starts at byte ${offset} of the data, but should at ${padded(end)}, after the tensor before it; tensors must neither overlap nor leave gaps`,
      )
    const begin = padded(end)
    end = begin + byteLength
    if (start + end > file.size)
      throw new FileError(`${of}: ends at byte ${start + end}, but the file holds ${file.size}; truncated or damaged`)
    tensors.set(name, { shape, type, byteLength, file, position: start + begin })
  }
  if (infos.length && file.size > start + padded(end))
    throw new FileError(`${where}: ${file.size - start - padded(end)} bytes at the end belong to no tensor`)
  return tensors
}

function checkWhole(where: string, metadata: ReadonlyMap<string, GgufValue>): void {
  const files = metadata.get('split.count')
  if (files !== undefined && files !== 0 && files !== 1)
    throw new FileError(
      `${where}: this is one of ${String(files)} files of a model; put them together with llama.cpp's llama-gguf-split --merge`,
    )
}
