import type { FileHandle } from 'node:fs/promises'
import { ArgumentError, describe, FileError } from '../errors.ts'
import { writeFileAtomically } from '../files/atomic-file.ts'
import type { OnProgress } from '../files/progress.ts'
import type { Shape } from '../tensor/shape.ts'
import { bytesOf, type FileType } from './file-types.ts'
import type { GgufValue } from './gguf-metadata.ts'
import { ggmlTypes } from './gguf-types.ts'

/** A tensor that is written row by row. */
export interface GgufTensorToWrite {
  readonly name: string
  /** Row-major, outermost dimension first. */
  readonly shape: Shape
  /** As GGML calls it: `F32`, `Q8_0`, … */
  readonly type: string
  /** The bytes of the rows [begin, end) of the first dimension, in its type. */
  rows(begin: number, end: number): Promise<Uint8Array>
}

const alignment = 32
/** Bytes of one call of `rows`: some milliseconds. */
const slabBytes = 2 ** 22

/**
 * Writes a GGUF file of version 3, atomically: `path` is as it was until everything is on the disk. Tensors lie in the
 * given order. Throws FileError when the file can't be written.
 */
export async function writeGguf(
  operation: string,
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensorToWrite[],
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress },
): Promise<void> {
  const placed = place(tensors)
  const total = placed.reduce((sum, { bytes }) => sum + bytes, 0)
  const header = formatHeader(metadata, placed)
  let loaded = 0
  await writeFileAtomically(
    path,
    async (handle) => {
      await writeFully(handle, header)
      for (const { tensor, bytes } of placed) {
        const count = tensor.shape[0] ?? 1
        const step = Math.max(1, Math.floor((slabBytes * count) / Math.max(1, bytes)))
        let written = 0
        for (let begin = 0; begin < count; begin += step) {
          signal?.throwIfAborted()
          const part = await tensor.rows(begin, Math.min(count, begin + step))
          await writeFully(handle, part)
          written += part.length
          onProgress?.({ file: path, loaded: loaded + written, total })
        }
        if (written !== bytes)
          throw new FileError(`${operation}: tensor ${tensor.name} gave ${written} bytes instead of ${bytes}`)
        loaded += written
        await writeFully(handle, padding(written))
      }
      signal?.throwIfAborted()
    },
    operation,
  )
}

const typeNumbers = new Map([...ggmlTypes].map(([number, type]) => [type.name, { number, type }]))

interface Placed {
  readonly tensor: GgufTensorToWrite
  readonly number: number
  readonly bytes: number
  readonly offset: number
}

function place(tensors: readonly GgufTensorToWrite[]): Placed[] {
  let offset = 0
  return tensors.map((tensor) => {
    const { number, type } = typeNumbers.get(tensor.type) as { number: number; type: FileType }
    const bytes = bytesOf(type, tensor.shape)
    const placed = { tensor, number, bytes, offset }
    offset += bytes + padding(bytes).length
    return placed
  })
}

const padding = (bytes: number): Uint8Array => new Uint8Array((alignment - (bytes % alignment)) % alignment)

function formatHeader(metadata: Readonly<Record<string, GgufValue>>, tensors: readonly Placed[]): Uint8Array {
  const keys = Object.entries(metadata).filter(([key]) => key !== 'general.alignment')
  const parts = [
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(keys.length),
    ...keys.flatMap(([key, value]) => [text(key), ...typed(key, value)]),
    ...tensors.flatMap(({ tensor, number, offset }) => [
      text(tensor.name),
      u32(tensor.shape.length),
      ...[...tensor.shape].reverse().map(u64),
      u32(number),
      u64(offset),
    ]),
  ]
  const header = Buffer.concat(parts)
  return Buffer.concat([header, padding(header.length)])
}

const bytesFor = (bytes: number, write: (view: DataView) => void): Buffer => {
  const buffer = Buffer.alloc(bytes)
  write(new DataView(buffer.buffer, buffer.byteOffset, bytes))
  return buffer
}
const u32 = (value: number): Buffer => bytesFor(4, (view) => view.setUint32(0, value, true))
const u64 = (value: number | bigint): Buffer => bytesFor(8, (view) => view.setBigUint64(0, BigInt(value), true))
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])

/** Numbers of the type of GGUF by the class of their array. */
const arrayTypes: readonly (readonly [new (...args: never[]) => ArrayBufferView, number])[] = [
  [Uint8Array, 0],
  [Int8Array, 1],
  [Uint16Array, 2],
  [Int16Array, 3],
  [Uint32Array, 4],
  [Int32Array, 5],
  [Float32Array, 6],
  [BigUint64Array, 10],
  [BigInt64Array, 11],
  [Float64Array, 12],
]

/** GGML reads these as f32, also where they are whole. */
const floats = /epsilon|freq_base|factor|scale|softcap|clamp|alpha|beta/

/** Type and value. Whole numbers are u32, the others f32, as GGML expects them. */
function typed(key: string, value: GgufValue): Buffer[] {
  if (typeof value === 'string') return [u32(8), text(value)]
  if (typeof value === 'boolean') return [u32(7), Buffer.from([value ? 1 : 0])]
  if (typeof value === 'bigint')
    return value < 0n ? [u32(11), bytesFor(8, (view) => view.setBigInt64(0, value, true))] : [u32(10), u64(value)]
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || floats.test(key))
      return [u32(6), bytesFor(4, (view) => view.setFloat32(0, value, true))]
    if (value < 0) return [u32(5), bytesFor(4, (view) => view.setInt32(0, value, true))]
    return value < 2 ** 32 ? [u32(4), u32(value)] : [u32(10), u64(value)]
  }
  const array = arrayTypes.find(([type]) => value instanceof type)
  if (array) {
    const view = value as Uint8Array
    return [u32(9), u32(array[1]), u64(view.length), Buffer.from(view.buffer, view.byteOffset, view.byteLength)]
  }
  const list = value as readonly GgufValue[]
  if (list.every((one) => typeof one === 'string')) return [u32(9), u32(8), u64(list.length), ...list.map(text)]
  if (list.every((one) => typeof one === 'boolean'))
    return [u32(9), u32(7), u64(list.length), Buffer.from(list.map((one) => (one ? 1 : 0)))]
  throw new ArgumentError(`writeGguf: ${key} can not be ${describe(value)}`)
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done)).bytesWritten
}
