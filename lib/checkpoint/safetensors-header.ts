import { ArgumentError, describe, FileError } from '../errors.ts'
import { decodeUtf8, isObject, parseJsonObject } from '../files/read-file.ts'
import { bytesPerElement, type DType } from '../tensor/dtype.ts'
import { formatShape, maxRank } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { bytesOf, elementTypes, readableTypes, type FileType } from './file-types.ts'
import { findKeyProblem } from './json-keys.ts'
import { narrowNames, type NarrowType } from './narrow.ts'

/** The u64 before the header. */
export const lengthBytes = 8
/** Of the data that is written; files of others may have any multiple of 8. */
const dataAlignment = 64
/** The limit of the reference implementation. */
export const maxHeaderBytes = 100_000_000
/** A quarter of a million tensors; bounds the memory that a header of 100 MB can ask for. */
const maxKeys = 1_000_000

/** One tensor of the file; `begin` and `end` in bytes from the end of the header. */
export interface Entry {
  readonly name: string
  readonly type: FileType
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

export interface Header {
  /** In the order of the data. */
  readonly entries: readonly Entry[]
  readonly metadata: Record<string, string>
}

/**
 * Reads the header of a safetensors file with `dataBytes` bytes after it. Whatever it lets through covers the data
 * exactly: every byte belongs to one tensor, every tensor's bytes are shape × element. Else FileError; `where` begins
 * its message.
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, where: string): Header {
  const text = decodeUtf8(bytes, `${where}: header`)
  if (text[0] !== '{')
    throw new FileError(`${where}: expected the header to start with "{", got ${JSON.stringify(text[0] ?? '')}`)
  const problem = findKeyProblem(text, 3, maxKeys)
  if (problem) throw new FileError(`${where}: header: ${problem}`)
  const { __metadata__: metadata, ...tensors } = parseJsonObject(text, `${where}: header`)

  const entries = Object.entries(tensors)
    .map(([name, fields]) => parseEntry(name, fields, `${where}: tensor ${JSON.stringify(name)}`))
    .sort((a, b) => a.begin - b.begin || a.end - b.end)
  let covered = 0
  for (const { name, begin, end } of entries) {
    if (end > dataBytes)
      throw new FileError(
        `${where}: tensor ${JSON.stringify(name)}: ends at byte ${end} of the data, but the file holds ${dataBytes}`,
      )
    if (begin !== covered)
      throw new FileError(
        `${where}: tensor ${JSON.stringify(name)}: starts at byte ${begin} of the data, but the tensor before it ends at ` +
          `${covered}; tensors must neither overlap nor leave gaps`,
      )
    covered = end
  }
  if (covered !== dataBytes)
    throw new FileError(`${where}: ${dataBytes - covered} bytes at the end belong to no tensor`)
  return { entries, metadata: parseMetadata(metadata, where) }
}

function parseMetadata(metadata: unknown, where: string): Record<string, string> {
  if (metadata === undefined) return {}
  if (!isObject(metadata)) throw new FileError(`${where}: __metadata__ should be an object of strings`)
  for (const [key, value] of Object.entries(metadata))
    if (typeof value !== 'string')
      throw new FileError(`${where}: __metadata__: ${JSON.stringify(key)} should be a string`)
  return metadata as Record<string, string>
}

function parseEntry(name: string, fields: unknown, where: string): Entry {
  if (!isObject(fields)) throw new FileError(`${where}: expected an object of dtype, shape and data_offsets`)
  const { dtype, shape, data_offsets: offsets } = fields
  if (typeof dtype !== 'string')
    throw new FileError(`${where}: ${dtype === undefined ? 'dtype is missing' : 'dtype should be a string'}`)
  const type = elementTypes.get(dtype)
  if (!type)
    throw new FileError(
      `${where}: dtype ${JSON.stringify(dtype)} is not supported; supported: ${readableTypes.join(', ')}`,
    )
  if (!isSizes(shape)) throw new FileError(`${where}: ${explain('shape', shape)}`)
  if (shape.length > maxRank)
    throw new FileError(`${where}: expected a rank of at most ${maxRank}, got ${shape.length}`)
  if (!isSizes(offsets)) throw new FileError(`${where}: ${explain('data_offsets', offsets)}`)
  const [begin, end] = offsets
  if (offsets.length !== 2 || begin! > end!)
    throw new FileError(
      `${where}: data_offsets should be [begin, end] with begin ≤ end, got ${formatShape(offsets.slice(0, 8))}`,
    )
  const bytes = bytesOf(type, shape)
  if (bytes !== end! - begin!)
    throw new FileError(
      `${where}: shape ${formatShape(shape)} of ${dtype} takes ${bytes} bytes, but data_offsets span ${end! - begin!}`,
    )
  return { name, type, shape, begin: begin!, end: end! }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0)
}

function explain(field: string, value: unknown): string {
  return value === undefined
    ? `${field} is missing`
    : `${field} should be whole numbers from 0 to 2^53 − 1, got ${JSON.stringify(value).slice(0, 80)}`
}

const typeNames: Readonly<Record<DType, string>> = { f32: 'F32', f64: 'F64', i32: 'I32', bf16: 'BF16' }

/** Bytes of a tensor when f32 is written as `dtype`. */
export const bytesInFile = ({ size, dtype }: Tensor, narrowed: NarrowType | undefined): number =>
  size * (narrowed && dtype === 'f32' ? 2 : bytesPerElement[dtype])

/**
 * The length of the header and the header, padded with spaces so that the data starts at a multiple of 64 bytes: mapped, its vectors don't
 * straddle cache lines. Throws
 * ArgumentError for names and metadata that it can not hold.
 */
export function formatHeader(
  entries: readonly (readonly [string, Tensor])[],
  metadata: Readonly<Record<string, string>>,
  dtype?: NarrowType,
): Uint8Array {
  const fields = new Map<string, unknown>()
  for (const [key, value] of Object.entries(metadata))
    if (typeof value !== 'string')
      throw new ArgumentError(
        `writeSafetensors: metadata ${JSON.stringify(key)} should be a string, got ${describe(value)}`,
      )
  if (Object.keys(metadata).length) fields.set('__metadata__', metadata)
  let begin = 0
  for (const [name, tensor] of entries) {
    if (typeof name !== 'string' || name === '__metadata__')
      throw new ArgumentError(`writeSafetensors: ${describe(name)} can not be the name of a tensor`)
    if (fields.has(name)) throw new ArgumentError(`writeSafetensors: two tensors are named ${JSON.stringify(name)}`)
    if (!(tensor instanceof Tensor))
      throw new ArgumentError(`writeSafetensors: ${JSON.stringify(name)} should be a tensor, got ${describe(tensor)}`)
    const narrowed = dtype !== undefined && tensor.dtype === 'f32'
    const end = begin + bytesInFile(tensor, dtype)
    const type = narrowed ? narrowNames[dtype] : typeNames[tensor.dtype]
    fields.set(name, { dtype: type, shape: tensor.shape, data_offsets: [begin, end] })
    begin = end
  }
  const json = [...fields].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  const text = Buffer.from(`{${json.join()}}`, 'utf8')
  const length = Math.ceil((lengthBytes + text.length) / dataAlignment) * dataAlignment - lengthBytes
  if (length > maxHeaderBytes)
    throw new ArgumentError(`writeSafetensors: the header takes ${length} bytes, the format allows ${maxHeaderBytes}`)
  const bytes = Buffer.alloc(lengthBytes + length, ' ')
  bytes.writeBigUInt64LE(BigInt(length))
  text.copy(bytes, lengthBytes)
  return bytes
}
