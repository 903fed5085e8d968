import { reshape } from '../ops/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'

export interface RelativeBuckets {
  buckets: number
  /** From this distance on there is one bucket. */
  distance: number
  /** Whether keys behind the query have buckets of their own; else they share that of the query itself. */
  bothWays: boolean
}

/**
 * The bucket of the key at `offset` from its query (Raffel et al. 2020, section 2.1): half of the buckets hold one
 * distance each, the others distances that grow by a factor. In float32, as the models were trained: at the edge of two
 * buckets rounding decides.
 */
export function relativeBucket(offset: number, { buckets, distance, bothWays }: RelativeBuckets): number {
  const count = bothWays ? buckets / 2 : buckets
  const first = bothWays && offset > 0 ? count : 0
  const apart = bothWays ? Math.abs(offset) : Math.max(0, -offset)
  const exact = count >> 1
  if (apart < exact) return first + apart
  const { fround } = Math
  const growth = fround(
    fround(fround(Math.log(fround(apart / exact))) / fround(Math.log(distance / exact))) * (count - exact),
  )
  return first + Math.min(exact + Math.trunc(growth), count - 1)
}

/** How many tokens tables are made for that serve so many: programs for these are shared. */
export const tableSize = (length: number): number =>
  length > 64 ? 64 * Math.ceil(length / 64) : Math.max(16, 2 ** Math.ceil(Math.log2(length)))

/** [size, size] of what `of` gives for the columns of the query i and the key j of one sequence; 0 beyond its tokens. */
function between<A extends Int32Array | Float32Array>(
  columns: ArrayLike<number>,
  make: new (size: number) => A,
  of: (query: number, key: number) => number,
): A {
  const size = tableSize(columns.length)
  const table = new make(size * size)
  for (let i = 0; i < columns.length; i++)
    for (let j = 0; j < columns.length; j++) table[i * size + j] = of(columns[i]!, columns[j]!)
  return table
}

/** The buckets of the keys of one sequence whose tokens stand in these columns. */
export const bucketsBetween = (columns: ArrayLike<number>, options: RelativeBuckets): Int32Array =>
  between(columns, Int32Array, (query, key) => relativeBucket(key - query, options))

/** −∞ where a key is further away than `left` columns before or `right` behind its query, else 0. */
export const windowBetween = (columns: ArrayLike<number>, [left, right]: readonly [number, number]): Float32Array =>
  between(columns, Float32Array, (query, key) => (query - key > left || key - query > right ? -Infinity : 0))

/** A table [size, size] of which a program was given the numbers alone. */
export const asTable = <T extends Tensor | undefined>(table: T): T =>
  table?.rank === 1 ? (reshape(table, [Math.sqrt(table.size), -1]) as T) : table

/** i32 [length, length]: the buckets of key j for query i of sequences of up to `length` tokens. */
export function relativeBuckets(length: number, options: RelativeBuckets): Tensor<'i32'> {
  const byOffset = Int32Array.from({ length: 2 * length }, (_, n) => relativeBucket(n - length, options))
  const table = new Int32Array(length * length)
  for (let i = 0; i < length; i++) table.set(byOffset.subarray(length - i, 2 * length - i), i * length)
  return fromData(table, { shape: [length, length] })
}
