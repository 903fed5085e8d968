import { ArgumentError, describe, DTypeError, ShapeError } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { native } from '../native/load.ts'
import { bytesPerElement, type DType } from '../tensor/dtype.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import { PackedForm, type Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp } from './define-op.ts'

const panelColumns = 32
/**
 * How panels of 32 columns are laid out (native/kernels/kernel_table.h, the same for every instruction set): rows of the
 * matrix in a step, 32-bit words of a step, words behind the last.
 */
const layouts = {
  f32: { rows: 1, words: 32, tail: 0 },
  bf16: { rows: 2, words: 32, tail: 0 },
  f16: { rows: 1, words: 16, tail: 0 },
  int8: { rows: 4, words: 32, tail: 32 },
  q8_0: { rows: 32, words: 272, tail: 0 },
  q4_0: { rows: 32, words: 144, tail: 0 },
} as const
/** Sums of so many products of int8 fit 32 bits. */
const mostInt8Rows = 131072

/** What a right operand of `matmul` may be packed into. */
export type WeightFormat = keyof typeof layouts
export const weightFormats = Object.keys(layouts) as readonly WeightFormat[]

/** @internal Of the i32 tensor that a matrix [k, n] is packed into. */
export function panelsShape(operation: string, [k, n]: readonly [number, number], format: WeightFormat): Shape {
  if (format === 'int8' && k > mostInt8Rows)
    throw new ShapeError(
      `${operation}: int8 takes at most ${mostInt8Rows} rows, got shape ${formatShape([k, n])}; q8_0 takes any number`,
    )
  const { rows, words, tail } = layouts[format]
  const lines = Math.ceil((Math.ceil(k / rows) * words + tail) / panelColumns)
  return [Math.ceil(n / panelColumns), lines, panelColumns]
}

const formatIndex = (format: unknown): number => native.panelFormats.indexOf(format as string)

const quantizeOp = defineOp({
  name: 'quantize',
  operands: [{ name: 'x', kind: 'float' }],
  outputs: [{ name: 'panels', layout: 'contiguous' }],
  infer: ([x], { format }) => {
    checkRank('quantize', 'matrix', x!, 2)
    return [{ shape: panelsShape('quantize', x!.shape as [number, number], format as WeightFormat), dtype: 'i32' }]
  },
  lowering: { kind: 'instruction', instruction: 'quantize', attributes: ({ format }) => [formatIndex(format)] },
})

const dequantizeOp = defineOp({
  name: 'dequantize',
  operands: [{ name: 'panels', kind: 'index', layout: 'contiguous' }],
  outputs: [{ name: 'y', layout: 'rows' }],
  infer: (_, { shape, dtype }) => [{ shape: shape as Shape, dtype: dtype as DType }],
  lowering: { kind: 'instruction', instruction: 'dequantize', attributes: ({ format }) => [formatIndex(format)] },
})

/**
 * A matrix [k, n] that was rounded to a format and packed once for the right side of `matmul`; no other operation takes
 * it. Made by `quantize`. Memory comes back with `dispose()` or `using`.
 */
export class QuantizedMatrix extends PackedForm implements Disposable {
  readonly shape: readonly [number, number]
  readonly format: WeightFormat
  /** @internal The packed words, as an i32 tensor. */
  readonly panels: Tensor

  /** @internal Use `quantize(...)`. */
  constructor(shape: Shape, format: WeightFormat, panels: Tensor) {
    super()
    this.shape = Object.freeze([shape[0]!, shape[1]!] as const)
    this.format = format
    this.panels = panels
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.panels.size * bytesPerElement[this.panels.dtype]
  }
  get isDisposed(): boolean {
    return this.panels.isDisposed
  }
  /** Gives the memory back. A second call does nothing. */
  override dispose(): void {
    this.panels.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
  override toString(): string {
    return `QuantizedMatrix ${this.format} ${formatShape(this.shape)}`
  }
}

/**
 * Packs a matrix [k, n] for the right side of `matmul`: y = x · quantize(w, format). The products then read it once, in
 * order, at the speed of the memory.
 *
 * | format | bits | numbers | left operand | relative error of a product |
 * | --- | --- | --- | --- | --- |
 * | `f32` | 32 | as they are | f32 | that of f32 |
 * | `bf16` | 16 | to nearest even, relative error at most 2⁻⁸ | f32; bf16 too on avx512_bf16 and neon_bf16 | 0.17 %; 0.24 % |
 * | `f16` | 16 | to nearest even, relative error at most 2⁻¹¹ from 2⁻¹⁴ to 65504; infinite beyond | f32 | 0.02 % |
 * | `int8` | 8 | a scale for each column: max / 127 | 8 bits, a scale for each row | 0.8–1.2 % |
 * | `q8_0` | 8.5 | GGUF's: a scale in f16 for each 32 rows of a column: max / 127 | 8 bits, a scale for each 32 | 0.6–0.8 % |
 * | `q4_0` | 4.5 | GGUF's: 16 levels, a scale in f16 for each 32 rows of a column | 8 bits, a scale for each 32 | 8–9 % |
 *
 * The errors are √(Σ (y − exact)² / Σ exact²) for normally distributed operands of 100 to 1,537 terms, beside f64, roundings
 * of both operands included. Products of integers are summed exactly, those of int8 over at most 131,072 rows, so that
 * they have the same bits on every CPU. Where a number is not finite, all that shares its scale is NaN; so is what comes
 * of a row or block of the left operand with such a number. Blocks of q8_0 and q4_0 with numbers from about 5·10⁵ (a
 * scale beyond f16) are not finite, those below about 10⁻⁷ are 0. Numbers of the left operand count as 0 where the largest
 * that shares their scale is below 2⁻¹¹⁸.
 *
 * A layer's weight [outputs, inputs] goes in as `quantize(transpose(weight), format)`. There is no gradient of what was
 * quantized; that of the left operand is dY · Wᵀ with the rounded W.
 */
export function quantize(matrix: Tensor, format: WeightFormat): QuantizedMatrix {
  checkTensor('quantize', 'matrix', matrix)
  if (!weightFormats.includes(format))
    throw new ArgumentError(`quantize: format should be one of ${weightFormats.join(', ')}, got ${describe(format)}`)
  const panels = apply(quantizeOp, [matrix], { format })[0]!
  return new QuantizedMatrix(matrix.shape, format, panels)
}

/** The numbers that a quantized matrix holds, as a tensor [k, n]. f64 is for tests. */
export function dequantize(matrix: QuantizedMatrix, dtype: 'f32' | 'f64' = 'f32'): Tensor {
  if (!(matrix instanceof QuantizedMatrix))
    throw new ArgumentError(`dequantize: expected what quantize() made, got ${describe(matrix)}`)
  if (dtype !== 'f32' && dtype !== 'f64')
    throw new DTypeError(`dequantize: dtype should be f32 or f64, got ${describe(dtype)}`)
  return unpack(matrix.panels, matrix, dtype)
}

/** @internal `dequantize` of panels in a graph. */
export function unpack(
  panels: Tensor,
  { shape, format }: { readonly shape: Shape; readonly format: WeightFormat },
  dtype: DType,
): Tensor {
  return apply(dequantizeOp, [panels], { shape, format, dtype })[0]!
}

/**
 * @internal Whether products by a weight round what they multiply it by as well: attention beside them may then do so
 * too, where that is faster.
 */
export const roundsActivations = ({ packed }: Tensor): boolean =>
  packed instanceof QuantizedMatrix &&
  packed.format !== 'f32' &&
  packed.format !== 'f16' &&
  native.computeFormats().includes('bf16')

/** Number of a format in the addon's list, which `matmul` takes. */
export { formatIndex as weightFormatIndex }
