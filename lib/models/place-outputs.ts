import { ArgumentError, describe } from '../errors.ts'
import { fromData, Tensor } from '../tensor/tensor.ts'
import type { PackedBatch } from './model-inputs.ts'

/** What a program gave for a batch, or for a part of one: some of its rows. */
export interface Part<Computed> {
  readonly batch: PackedBatch
  readonly computed: Computed
}

/** Puts what was computed for the parts of a batch, in the order of its rows, where it was asked for. */
export type Placing = (whole: PackedBatch, parts: readonly Part<Tensor>[]) => Tensor

const numbersOf = (tensor: Tensor): Float32Array => tensor.data() as Float32Array

/** [tokens, size] → [batch, width, size], by the columns of the tokens; zero elsewhere. */
export const spread: Placing = (whole, parts) => {
  const { width } = whole
  const [{ computed: first }] = parts as [Part<Tensor>]
  const size = first.shape[1]!
  const shape = [whole.batch, width, size]
  // Where nothing was left out, the rows are in place already.
  if (parts.length === 1 && whole.tokens.length === whole.batch * width)
    return new Tensor(shape, first.dtype, first.memory('run'))
  const placed = new Float32Array(whole.batch * width * size)
  let place = 0
  for (const { batch, computed } of parts) {
    const rows = numbersOf(computed)
    for (let i = 0; i < batch.batch; i++, place++)
      for (let row = batch.offsets[i]!; row < batch.offsets[i + 1]!; row++)
        placed.set(rows.subarray(row * size, (row + 1) * size), (place * width + batch.columns[row]!) * size)
  }
  return fromData(placed, { shape })
}

/** [sequences, size] → [batch, size]. */
export const firstRows: Placing = (whole, parts) => {
  const size = parts[0]!.computed.shape[1]!
  const placed = new Float32Array(whole.batch * size)
  let place = 0
  for (const { batch, computed } of parts) {
    placed.set(numbersOf(computed).subarray(0, batch.batch * size), place * size)
    place += batch.batch
  }
  return fromData(placed, { shape: [whole.batch, size] })
}

/** [1, heads, tokens, tokens] of each row alone → [batch, heads, width, width]. */
export const spreadPairs: Placing = (whole, parts) => spreadBetween(whole, whole, parts, parts)

/** The same of queries of one batch and keys of another, [1, heads, queries, keys]. */
export function spreadBetween(
  queries: PackedBatch,
  keys: PackedBatch,
  parts: readonly Part<Tensor>[],
  keyParts: readonly { readonly batch: PackedBatch }[],
): Tensor {
  const heads = parts[0]!.computed.shape[1]!
  const shape = [queries.batch, heads, queries.width, keys.width]
  const placed = new Float32Array(shape.reduce((product, d) => product * d, 1))
  for (const [i, { batch, computed }] of parts.entries()) {
    const rows = numbersOf(computed)
    const [, , length, keyLength] = computed.shape as [number, number, number, number]
    const [columns, keyColumns] = [batch.columns, keyParts[i]!.batch.columns]
    // Programs for more rows than there are give zeros for the others.
    for (let h = 0; h < heads; h++)
      for (let q = 0; q < columns.length; q++) {
        const from = (h * length + q) * keyLength
        const to = ((i * heads + h) * queries.width + columns[q]!) * keys.width
        for (let k = 0; k < keyColumns.length; k++) placed[to + keyColumns[k]!] = rows[from + k]!
      }
  }
  return fromData(placed, { shape })
}

/** The numbers of layers that `outputAttentions` asks for. Throws ArgumentError for those that are none. */
export function watchedLayers(operation: string, asked: unknown, numLayers: number): readonly number[] {
  if (asked === undefined || asked === false) return []
  if (asked === true) return Array.from({ length: numLayers }, (_, layer) => layer)
  const isLayer = (layer: unknown): boolean =>
    Number.isInteger(layer) && (layer as number) >= 0 && (layer as number) < numLayers
  if (!Array.isArray(asked) || asked.length === 0 || !asked.every(isLayer))
    throw new ArgumentError(
      `${operation}: outputAttentions should be true, or numbers of layers from 0 to ${numLayers - 1}, got ${describe(asked)}`,
    )
  return asked as number[]
}
