import { attention, divide, fill, maximum, reshape, square, squareRoot, sum, transpose } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** One vector for each sequence: its first token's, its last token's, or the mean of all. */
export const poolings = ['first', 'last', 'mean'] as const
export type Pooling = (typeof poolings)[number]

/** Where the sequences of packed rows begin and end. */
export interface Sequences {
  /** i32 [sequences + 1]: those of the rows. */
  offsets: Tensor
  /** i32 [sequences + 1]: 0, 1, 2, …: those of one result for each sequence. */
  results: Tensor
}

/** The widest head that attention takes. */
const widest = 256

/**
 * x [tokens, size] → [sequences, size]; 0 for a sequence without tokens. This is attention of one query for each
 * sequence: with equal scores for the mean, and a window of one key at either end. So a sequence's vector depends on its
 * own tokens only, and has a gradient.
 */
export function pool(x: Tensor, kind: Pooling, { offsets, results }: Sequences): Tensor {
  const size = x.shape[1]!
  const count = results.shape[0]! - 1
  const width = widestDivisor(size)
  const rows = transpose(reshape(x, [1, -1, size / width, width]), [0, 2, 1, 3])
  const query = fill([1, size / width, count, width], 0)
  const pooled = attention(query, rows, rows, {
    offsets: results,
    keyOffsets: offsets,
    ...(kind === 'first' && { causal: 'start' as const, window: 1 }),
    ...(kind === 'last' && { causal: true, window: 1 }),
  })
  return reshape(transpose(pooled, [0, 2, 1, 3]), [count, size])
}

/** x / max(‖x‖, 1e-12) of each row. x [rows, size] */
export const unitRows = (x: Tensor): Tensor =>
  divide(x, maximum(squareRoot(sum(square(x), { axis: 1, keepDims: true })), 1e-12))

function widestDivisor(size: number): number {
  for (let width = Math.min(widest, size); width > 1; width--) if (size % width === 0) return width
  return 1
}
