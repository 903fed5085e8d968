import { FileError } from '../errors.ts'
import type { GgufCursor } from './gguf-cursor.ts'

/** What a key of a GGUF file can hold. 64-bit integers are numbers where that is exact, else bigints. */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | readonly string[]
  | readonly boolean[]
  | readonly GgufValue[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array

interface ValueType {
  readonly bytes: number
  one(cursor: GgufCursor): GgufValue
  /** From the bytes of `count` values. */
  many(bytes: Uint8Array<ArrayBuffer>, where: string): GgufValue
}

const exact = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value

function truth(value: number, where: string): boolean {
  if (value > 1) throw new FileError(`${where}: a truth value should be 0 or 1, got ${value}`)
  return value === 1
}

const simple: Readonly<Record<number, ValueType>> = {
  0: { bytes: 1, one: (c) => c.u8(), many: (b) => b },
  1: { bytes: 1, one: (c) => c.i8(), many: (b) => new Int8Array(b.buffer) },
  2: { bytes: 2, one: (c) => c.u16(), many: (b) => new Uint16Array(b.buffer) },
  3: { bytes: 2, one: (c) => c.i16(), many: (b) => new Int16Array(b.buffer) },
  4: { bytes: 4, one: (c) => c.u32(), many: (b) => new Uint32Array(b.buffer) },
  5: { bytes: 4, one: (c) => c.i32(), many: (b) => new Int32Array(b.buffer) },
  6: { bytes: 4, one: (c) => c.f32(), many: (b) => new Float32Array(b.buffer) },
  7: { bytes: 1, one: (c) => truth(c.u8(), c.where), many: (b, where) => Array.from(b, (v) => truth(v, where)) },
  10: { bytes: 8, one: (c) => exact(c.u64()), many: (b) => new BigUint64Array(b.buffer) },
  11: { bytes: 8, one: (c) => exact(c.i64()), many: (b) => new BigInt64Array(b.buffer) },
  12: { bytes: 8, one: (c) => c.f64(), many: (b) => new Float64Array(b.buffer) },
}
const stringType = 8
const arrayType = 9

/** An array takes 12 bytes of the file, but many times that of memory: only a few may be nested in others. */
const maxNested = 10_000
const maxDepth = 3

/** The value of a key, after its type. Throws FileError. */
export async function readValue(cursor: GgufCursor, type: number, what: string): Promise<GgufValue> {
  let nested = 0
  const read = async (type: number, depth: number): Promise<GgufValue> => {
    if (type === stringType) return cursor.string(what)
    const known = simple[type]
    if (known) {
      await cursor.need(known.bytes, what)
      return known.one(cursor)
    }
    if (type !== arrayType) throw new FileError(`${cursor.where}: ${what}: type ${type} is not known`)
    await cursor.need(12, what)
    const elementType = cursor.u32()
    if (!simple[elementType] && elementType !== stringType && elementType !== arrayType)
      throw new FileError(`${cursor.where}: ${what}: type ${elementType} is not known`)
    const size = simple[elementType]?.bytes ?? (elementType === stringType ? 8 : 12)
    const count = cursor.expect(cursor.u64(), size, `elements of ${what}`)
    const elements = simple[elementType]
    if (elements) {
      await cursor.need(count * size, what)
      return elements.many(cursor.bytes(count * size), `${cursor.where}: ${what}`)
    }
    if (elementType === stringType) return readStrings(cursor, count, what)
    if (depth === maxDepth || (nested += count) > maxNested)
      throw new FileError(
        `${cursor.where}: ${what}: expected at most ${maxNested} nested arrays, at most ${maxDepth} deep`,
      )
    const values: GgufValue[] = []
    for (let i = 0; i < count; i++) values.push(await read(elementType, depth + 1))
    return values
  }
  return read(type, 1)
}

/** Hundreds of thousands for a vocabulary: waits only where bytes have to be read. */
async function readStrings(cursor: GgufCursor, count: number, what: string): Promise<string[]> {
  const values: string[] = []
  for (let i = 0; i < count; i++) {
    const length = cursor.need(8, what)
    if (length) await length
    const bytes = cursor.expect(cursor.u64(), 1, `bytes of ${what}`)
    const text = cursor.need(bytes, what)
    if (text) await text
    values.push(cursor.text(bytes, what))
  }
  return values
}
