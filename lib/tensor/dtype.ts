import { ArgumentError, DTypeError, describe } from '../errors.ts'

/** Element types. Arithmetic is f32; f64 runs plain reference loops (tests, gradient checks); i32 holds indices. */
export const dtypes = ['f32', 'f64', 'i32'] as const
export type DType = (typeof dtypes)[number]

export interface TypedArrays {
  f32: Float32Array
  f64: Float64Array
  i32: Int32Array
}

const constructors = { f32: Float32Array, f64: Float64Array, i32: Int32Array }
export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, f64: 8, i32: 4 }

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

/** The dtype that a typed array is data of, or undefined. */
export function dtypeOf(array: unknown): DType | undefined {
  return dtypes.find((dtype) => array instanceof constructors[dtype])
}
