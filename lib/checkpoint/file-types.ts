import type { DType } from '../tensor/dtype.ts'
import { narrowI64, widenBf16, widenBytes, widenF16, widenInt8, type Convert } from './convert.ts'

/** How the numbers of a tensor lie in a file, and what they are read as. */
export interface FileType {
  /** As the file's format calls it. */
  readonly name: string
  /** Numbers that are stored together: 1 unless they share a scale. */
  readonly blockSize: number
  readonly blockBytes: number
  /** Of the tensor that they are read into; undefined: they are only to be had as bytes. */
  readonly dtype: DType | undefined
  /** None where the bytes are those of such a tensor. */
  readonly convert?: Convert
}

const plain = (name: string, blockBytes: number, dtype?: DType, convert?: Convert): FileType => ({
  name,
  blockSize: 1,
  blockBytes,
  dtype,
  ...(convert && { convert }),
})

const all: readonly FileType[] = [
  plain('F32', 4, 'f32'),
  plain('F64', 8, 'f64'),
  plain('I32', 4, 'i32'),
  plain('F16', 2, 'f32', widenF16),
  plain('BF16', 2, 'f32', widenBf16),
  plain('I64', 8, 'i32', narrowI64),
  plain('I8', 1, 'i32', widenInt8),
  plain('U8', 1, 'i32', widenBytes),
  plain('BOOL', 1, 'i32', widenBytes),
  plain('I16', 2),
  plain('U16', 2),
  plain('U32', 4),
  plain('U64', 8),
  plain('F8_E4M3', 1),
  plain('F8_E5M2', 1),
  plain('F8_E8M0', 1),
]

/** The element types of safetensors by name. Narrower floats become f32, integers i32. */
export const elementTypes: ReadonlyMap<string, FileType> = new Map(all.map((type) => [type.name, type]))

export const readableTypes: readonly string[] = all.filter(({ dtype }) => dtype).map(({ name }) => name)

/** Bytes of a tensor of this shape; NaN when its last dimension is no whole number of blocks. Exact up to 2^53. */
export function bytesOf({ blockSize, blockBytes }: FileType, shape: readonly number[]): number {
  const row = shape.at(-1) ?? 1
  if (row % blockSize) return NaN
  let bytes = (row / blockSize) * blockBytes
  for (const d of shape.slice(0, -1)) bytes *= d
  return bytes
}
