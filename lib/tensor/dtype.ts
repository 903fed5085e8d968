import { ArgumentError, DTypeError, describe } from '../errors.ts'
import { fromBfloat16, toBfloat16 } from './bfloat16.ts'

/**
 * Element types. Arithmetic is f32; f64 runs plain reference loops (tests, gradient checks); i32 holds indices; bf16
 * (bfloat16, the upper half of an f32) is a format of storage that `cast` makes, `matmul` and views read.
 */
export const dtypes = ['f32', 'f64', 'i32', 'bf16'] as const
export type DType = (typeof dtypes)[number]

export interface TypedArrays {
  f32: Float32Array
  f64: Float64Array
  i32: Int32Array
  /** The bits. */
  bf16: Uint16Array
}

/** Elements that are numbers; those of bf16 are bits. */
export type NumberArray = TypedArrays[Exclude<DType, 'bf16'>]

const constructors = { f32: Float32Array, f64: Float64Array, i32: Int32Array, bf16: Uint16Array }
export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, f64: 8, i32: 4, bf16: 2 }

/** The dtype of gradients of a tensor: sums of many terms need more than bf16 holds. */
export const gradientType = (dtype: DType): DType => (dtype === 'bf16' ? 'f32' : dtype)

/** Writes numbers to data of a dtype, from the element `start` on. */
export function writeNumbers(data: TypedArrays[DType], dtype: DType, numbers: ArrayLike<number>, start = 0): void {
  if (dtype === 'bf16') for (let i = 0; i < numbers.length; i++) data[start + i] = toBfloat16(numbers[i]!)
  else data.set(numbers, start)
}

/** Data of a dtype as numbers: itself, unless it is bf16. */
export function readNumbers(data: TypedArrays[DType], dtype: DType): NumberArray {
  return dtype === 'bf16' ? Float32Array.from(data, fromBfloat16) : (data as NumberArray)
}

export function checkDType(operation: string, dtype: unknown): DType {
  if (!dtypes.includes(dtype as DType))
    throw new DTypeError(`${operation}: expected a dtype of ${dtypes.join(', ')}, got ${describe(dtype)}`)
  return dtype as DType
}

export function typedArrayOf<D extends DType>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): TypedArrays[D] {
  return new constructors[dtype](buffer, byteOffset, length) as TypedArrays[D]
}

/** Throws ArgumentError for a typed array whose memory was transferred elsewhere: it would count as empty. */
export function checkAttached(operation: string, array: ArrayBufferView): void {
  if (array.byteLength > 0) return
  try {
    // Not `buffer.detached`, which Node 20 has not.
    void new Uint8Array(array.buffer)
  } catch (cause) {
    throw new ArgumentError(
      `${operation}: the memory of this ${array.constructor.name} is detached (it was transferred elsewhere); copy it before`,
      { cause },
    )
  }
}

/** The dtype whose numbers a typed array holds, or undefined. A Uint16Array may be bf16 or anything else. */
export function dtypeOf(array: unknown): Exclude<DType, 'bf16'> | undefined {
  return (['f32', 'f64', 'i32'] as const).find((dtype) => array instanceof constructors[dtype])
}
