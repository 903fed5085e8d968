import { narrow } from './narrow.ts'

/** Types of GGUF that f32 is rounded to when it is written. */
export type GgufWriteType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0'

const blockSize = 32
const q8Bytes = 34
const q4Bytes = 18

/**
 * Numbers as they lie in a GGUF file. Blocks are rounded as GGML's reference does it: Q8_0: scale = max |x| / 127, q = x /
 * scale, halves away from zero; Q4_0: scale = (the x of largest magnitude) / −8, q = ⌊x / scale + 8.5⌋, at most 15.
 * Throws RangeError for a number that is not finite in a block, and for one that is too large for the type.
 */
export function encodeGguf(numbers: Float32Array, type: GgufWriteType): Uint8Array {
  if (type === 'F32') return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  if (type === 'F16' || type === 'BF16') {
    const words = narrow(numbers, type === 'F16' ? 'f16' : 'bf16', 0)
    return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
  }
  return type === 'Q8_0' ? encodeQ8(numbers) : encodeQ4(numbers)
}

/** f32 arithmetic: every step is rounded, so that files are the same to the last bit as GGML's. */
const f32 = Math.fround

function encodeQ8(numbers: Float32Array): Uint8Array {
  const count = numbers.length / blockSize
  const bytes = new Uint8Array(count * q8Bytes)
  const scales = new Float32Array(count)
  for (let block = 0; block < count; block++) {
    const from = block * blockSize
    const scale = f32(Math.abs(extreme(numbers, from)) / 127)
    const inverse = inverseOf(scale)
    for (let i = 0; i < blockSize; i++) {
      const y = f32(numbers[from + i]! * inverse)
      bytes[block * q8Bytes + 2 + i] = y < 0 ? -Math.floor(0.5 - y) : Math.floor(0.5 + y)
    }
    scales[block] = scale
  }
  return withScales(bytes, scales, q8Bytes)
}

function encodeQ4(numbers: Float32Array): Uint8Array {
  const count = numbers.length / blockSize
  const bytes = new Uint8Array(count * q4Bytes)
  const scales = new Float32Array(count)
  for (let block = 0; block < count; block++) {
    const from = block * blockSize
    const scale = f32(extreme(numbers, from) / -8)
    const inverse = inverseOf(scale)
    const level = (i: number): number => Math.min(15, Math.floor(f32(f32(numbers[from + i]! * inverse) + 8.5)))
    for (let i = 0; i < 16; i++) bytes[block * q4Bytes + 2 + i] = level(i) | (level(i + 16) << 4)
    scales[block] = scale
  }
  return withScales(bytes, scales, q4Bytes)
}

/** The first of largest magnitude. */
function extreme(numbers: Float32Array, from: number): number {
  let found = 0
  for (let i = from; i < from + blockSize; i++) {
    const x = numbers[i]!
    if (!Number.isFinite(x)) throw new RangeError(`element ${i} is ${x}, which has no place in a quantized block`)
    if (Math.abs(x) > Math.abs(found)) found = x
  }
  return found
}

function inverseOf(scale: number): number {
  const inverse = f32(1 / scale)
  return scale !== 0 && Number.isFinite(inverse) ? inverse : 0
}

function withScales(bytes: Uint8Array, scales: Float32Array, blockBytes: number): Uint8Array {
  const halves = narrow(scales, 'f16', 0)
  for (let block = 0; block < halves.length; block++) {
    bytes[block * blockBytes] = halves[block]! & 0xff
    bytes[block * blockBytes + 1] = halves[block]! >> 8
  }
  return bytes
}
