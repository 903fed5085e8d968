/** Element types of safetensors that f32 can be rounded to when it is written. */
export type NarrowType = 'bf16' | 'f16'
export const narrowTypes: readonly NarrowType[] = ['bf16', 'f16']

/** The types' names in the file. */
export const narrowNames: Readonly<Record<NarrowType, string>> = { bf16: 'BF16', f16: 'F16' }

const infinite = 0x7f800000

/**
 * Rounds to nearest, ties to even, as IEEE 754 has it; NaN stays one. Throws RangeError that names the first finite number
 * that would become infinite; `start` is the index of `from[0]`.
 */
export function narrow(from: Float32Array, type: NarrowType, start: number): Uint16Array {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length)
  const to = new Uint16Array(from.length)
  const [round, infinity] = type === 'bf16' ? [toBf16, 0x7f80] : [toF16, 0x7c00]
  for (let i = 0; i < to.length; i++) {
    const word = bits[i]!
    const magnitude = word & 0x7fffffff
    const rounded = round(magnitude)
    if (rounded === infinity && magnitude !== infinite)
      throw new RangeError(`element ${start + i} is ${from[i]}, which is too large for ${type}`)
    to[i] = ((word >>> 16) & 0x8000) | rounded
  }
  return to
}

/** The upper half. */
function toBf16(magnitude: number): number {
  if (magnitude > infinite) return (magnitude >>> 16) | 0x40
  return (magnitude + 0x7fff + ((magnitude >>> 16) & 1)) >>> 16
}

/** 5 bits of exponent (bias 15), 10 of mantissa. */
function toF16(magnitude: number): number {
  if (magnitude >= infinite) return magnitude === infinite ? 0x7c00 : 0x7e00 | ((magnitude >>> 13) & 0x3ff)
  // 65520 and above: nearer to 2^16 than to the largest number.
  if (magnitude >= 0x477ff000) return 0x7c00
  if (magnitude >= 0x38800000) return (magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13
  // Below 2^-14 halves are multiples of 2^-24, the distance of f32 in [1/2, 1): adding 1/2 rounds to one.
  scratchBits[0] = magnitude
  scratch[0] = scratch[0]! + 0.5
  return scratchBits[0]! - 0x3f000000
}

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)
