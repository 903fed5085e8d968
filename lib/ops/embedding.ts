import { checkInteger, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { sizeOf, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp, like, noAttributes, numbers } from './define-op.ts'

/*
 * The gradient without the rows that are zero: rows [ids, columns], and for each row of the table which of them is its
 * own, −1 for none. Duplicates are summed in the order of the ids.
 */
const embeddingRowsOp = defineOp({
  name: 'embeddingRows',
  operands: [
    { name: 'ids', kind: 'index', layout: 'contiguous' },
    { name: 'gradOutput', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [
    { name: 'rows', layout: 'contiguous' },
    { name: 'slots', layout: 'contiguous' },
  ],
  infer: ([ids, gradient], { tableShape }) => {
    const [tableRows, columns] = tableShape as [number, number]
    return [like(gradient!, [sizeOf(ids!.shape), columns]), { shape: [tableRows], dtype: 'i32' }]
  },
  lowering: { kind: 'instruction', instruction: 'embeddingRows', attributes: numbers('paddingIndex') },
})

const embeddingGradientOp = defineOp({
  name: 'embeddingGradient',
  operands: [
    { name: 'ids', kind: 'index', layout: 'contiguous' },
    { name: 'gradOutput', kind: 'float', layout: 'contiguous' },
    // What the rows are added to: another gradient of the same table. Given by a rewrite only.
    { name: 'base', kind: 'float', optional: true, layout: 'contiguous' },
  ],
  outputs: [{ name: 'gradTable', layout: 'contiguous', inPlace: ['base'] }],
  infer: ([, gradient], { tableShape }) => [like(gradient!, tableShape as Shape)],
  lowering: { kind: 'instruction', instruction: 'embeddingGradient', attributes: numbers('paddingIndex') },
  variants: { rows: embeddingRowsOp },
})

const embeddingOp = defineOp({
  name: 'embedding',
  operands: [
    { name: 'table', kind: 'float', layout: 'rows' },
    { name: 'ids', kind: 'index', layout: 'contiguous' },
  ],
  outputs: [{ name: 'y', layout: 'contiguous' }],
  infer: ([table, ids]) => {
    checkRank('embedding', 'table', table!, 2)
    checkRank('embedding', 'ids', ids!, 0, 5)
    return [like(table!, [...ids!.shape, table!.shape[1]!])]
  },
  gradient: ({ inputs: [table, ids], gradOutputs, attributes }) => [
    apply(embeddingGradientOp, [ids, gradOutputs[0], undefined], {
      tableShape: table!.shape,
      paddingIndex: attributes['paddingIndex'],
    })[0],
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'embedding', attributes: noAttributes },
})

export interface EmbeddingOptions {
  /** A row of the table that gets no gradient. */
  paddingIndex?: number
}

/** y[…, :] = table[ids[…], :]. table [rows, columns], ids i32. An id out of range is an error when it runs. */
export function embedding(table: Tensor, ids: Tensor, options: EmbeddingOptions = {}): Tensor {
  checkTensor('embedding', 'table', table)
  checkTensor('embedding', 'ids', ids)
  checkOptions('embedding', options, ['paddingIndex'])
  const { paddingIndex } = options
  if (paddingIndex !== undefined) checkInteger('embedding', 'paddingIndex', paddingIndex, 0, (table.shape[0] ?? 1) - 1)
  return apply(embeddingOp, [table, ids], { paddingIndex: paddingIndex ?? -1 })[0]!
}
