import { checkInteger, DTypeError } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp } from './define-op.ts'
import { panelsShape, QuantizedMatrix, weightFormatIndex, type WeightFormat } from './quantize.ts'

interface Sized {
  readonly format?: unknown
  /** Of the matrix. */
  readonly shape?: readonly number[]
}

const packRowsOp = defineOp({
  name: 'packRows',
  operands: [{ name: 'rows', kind: 'index', layout: 'contiguous' }],
  outputs: [{ name: 'panels', layout: 'contiguous' }],
  infer: (_, { shape, format }) => [
    { shape: panelsShape('packRows', shape as [number, number], format as WeightFormat), dtype: 'i32' },
  ],
  lowering: {
    kind: 'instruction',
    instruction: 'packRows',
    attributes: ({ format, shape: [k, n] = [] }: Sized) => [weightFormatIndex(format), Number(k), Number(n)],
  },
})

const packedColumnsOp = defineOp({
  name: 'packedColumns',
  operands: [
    { name: 'panels', kind: 'index', layout: 'contiguous' },
    { name: 'ids', kind: 'index', layout: 'contiguous' },
  ],
  outputs: [{ name: 'y', layout: 'contiguous' }],
  infer: ([, ids], { shape, dtype }) => {
    checkRank('embedding', 'ids', ids!, 0, 5)
    return [{ shape: [...ids!.shape, (shape as [number, number])[0]], dtype: dtype as 'f32' | 'f64' }]
  },
  lowering: {
    kind: 'instruction',
    instruction: 'packedColumns',
    attributes: ({ format, shape: [, n] = [] }: Sized) => [weightFormatIndex(format), Number(n)],
  },
})

/** Bytes of `count` numbers that stand one after another in a file; undefined: it has none of this format. */
export const bytesInRow: Readonly<Record<WeightFormat, (count: number) => number | undefined>> = {
  f32: (count) => 4 * count,
  bf16: (count) => 2 * count,
  f16: (count) => 2 * count,
  int8: () => undefined,
  q8_0: (count) => (count % 32 ? undefined : (count / 32) * 34),
  q4_0: (count) => (count % 32 ? undefined : (count / 32) * 18),
}

/**
 * @internal The matrix [k, n] whose columns are rows of a file (safetensors, GGUF) with numbers in this very format:
 * none is rounded. `rows` holds their bytes one after another, in i32 [⌈bytes / 4⌉].
 */
export function packRows(rows: Tensor, [k, n]: readonly [number, number], format: WeightFormat): QuantizedMatrix {
  checkTensor('packRows', 'rows', rows)
  const bytes = bytesInRow[format](checkInteger('packRows', 'k', k, 0))
  if (bytes === undefined) throw new DTypeError(`packRows: files have no rows of ${k} numbers in ${format}`)
  checkRank('packRows', 'rows', rows, 1)
  const panels = apply(packRowsOp, [rows], { shape: [k, n], format })[0]!
  return new QuantizedMatrix([k, n], format, panels)
}

/**
 * @internal y[…, i] = matrix[i, ids[…]], the numbers that the packed matrix [k, n] holds: an embedding whose table is
 * packed as a product with it takes it. ids i32 […] → […, k]. There is no gradient.
 */
export function packedColumns(matrix: QuantizedMatrix, ids: Tensor, dtype: 'f32' | 'f64' = 'f32'): Tensor {
  checkTensor('embedding', 'ids', ids)
  return apply(packedColumnsOp, [matrix.panels, ids], { shape: matrix.shape, format: matrix.format, dtype })[0]!
}
