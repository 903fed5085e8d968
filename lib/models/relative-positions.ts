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

/** i32 [length, length]: the buckets of key j for query i of sequences of up to `length` tokens. */
export function relativeBuckets(length: number, options: RelativeBuckets): Tensor<'i32'> {
  const byOffset = Int32Array.from({ length: 2 * length }, (_, n) => relativeBucket(n - length, options))
  const table = new Int32Array(length * length)
  for (let i = 0; i < length; i++) table.set(byOffset.subarray(length - i, 2 * length - i), i * length)
  return fromData(table, { shape: [length, length] })
}
