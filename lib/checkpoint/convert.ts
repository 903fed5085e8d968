/**
 * Converts elements as they lie in a file (little-endian, starting at any multiple of their size) to those of a tensor,
 * writing `out[start]` and on. Every conversion to f32 is exact.
 */
export type Convert = (bytes: Uint8Array, out: Float32Array | Int32Array, start: number) => void

/** bfloat16 is the upper half of an f32. */
export function widenBf16(bytes: Uint8Array, out: Float32Array | Int32Array, start: number): void {
  const from = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  const to = new Uint32Array(out.buffer, out.byteOffset, out.length)
  for (let i = 0; i < from.length; i++) to[start + i] = from[i]! << 16
}

let f32OfF16: Uint32Array | undefined

const wideningTable = (): Uint32Array =>
  (f32OfF16 ??= Uint32Array.from({ length: 2 ** 16 }, (_, half) => widenHalf(half)))

/** The number whose binary16 has the bits `half`. */
export function halfToFloat(half: number): number {
  floatsOfF16 ??= new Float32Array(wideningTable().buffer)
  return floatsOfF16[half]!
}

let floatsOfF16: Float32Array | undefined

/** IEEE 754 binary16 by a table of all 65,536 values. */
export function widenF16(bytes: Uint8Array, out: Float32Array | Int32Array, start: number): void {
  const table = wideningTable()
  const from = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  const to = new Uint32Array(out.buffer, out.byteOffset, out.length)
  for (let i = 0; i < from.length; i++) to[start + i] = table[from[i]!]!
}

/** The bits of an f32 that equals the f16 with bits `half`: 1 sign, 5 exponent (bias 15), 10 mantissa. */
function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  const mantissa = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13)
  if (exponent !== 0) return sign | ((exponent + 127 - 15) << 23) | (mantissa << 13)
  if (mantissa === 0) return sign
  const shift = Math.clz32(mantissa) - 21
  return sign | ((127 - 14 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13)
}

/** Throws RangeError that names the first value that does not fit. */
export function narrowI64(bytes: Uint8Array, out: Float32Array | Int32Array, start: number): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  for (let i = 0; i < words.length / 2; i++) {
    const low = words[2 * i]!
    if (words[2 * i + 1] !== low >> 31) {
      const value = new BigInt64Array(bytes.buffer, bytes.byteOffset + 8 * i, 1)[0]
      throw new RangeError(`element ${start + i} is ${value}, which does not fit into i32`)
    }
    out[start + i] = low
  }
}

export function widenInt8(bytes: Uint8Array, out: Float32Array | Int32Array, start: number): void {
  out.set(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), start)
}

export function widenBytes(bytes: Uint8Array, out: Float32Array | Int32Array, start: number): void {
  out.set(bytes, start)
}
