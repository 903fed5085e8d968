/**
 * The blocks of ggml's quantized types → f32, exactly as ggml computes them: every product of a half-precision scale and
 * small integers is exact in f64, as is their sum, and is rounded to f32 once, when it is stored.
 *
 * `bytes` is a whole number of blocks; `out[start]` and on is written. Layouts: ggml-common.h of ggml. Where a block is
 * split into halves, the low four bits of byte i belong to element i and the high ones to element i + half.
 */
import type { Convert } from './convert.ts'
import { halfToFloat } from './convert.ts'

const half = (bytes: Uint8Array, at: number): number => halfToFloat(bytes[at]! | (bytes[at + 1]! << 8))
const signed = (byte: number): number => (byte << 24) >> 24

/** Calls `block(at, to)` for the first byte of each block and the first element that it becomes. */
const blocks =
  (
    blockSize: number,
    blockBytes: number,
    block: (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void,
  ): Convert =>
  (bytes, out, start) => {
    for (let at = 0, to = start; at < bytes.length; at += blockBytes, to += blockSize)
      block(bytes, at, out as Float32Array, to)
  }

/** f16 d, 32 × i8 q: d · q */
export const q8_0 = blocks(32, 34, (bytes, at, out, to) => {
  const d = half(bytes, at)
  for (let i = 0; i < 32; i++) out[to + i] = d * signed(bytes[at + 2 + i]!)
})

/** f16 d, 32 × u4 q: d · (q − 8) */
export const q4_0 = blocks(32, 18, (bytes, at, out, to) => {
  const d = half(bytes, at)
  for (let i = 0; i < 16; i++) {
    const q = bytes[at + 2 + i]!
    out[to + i] = d * ((q & 15) - 8)
    out[to + i + 16] = d * ((q >> 4) - 8)
  }
})

/** f16 d, f16 m, 32 × u4 q: d · q + m */
export const q4_1 = blocks(32, 20, (bytes, at, out, to) => {
  const d = half(bytes, at)
  const m = half(bytes, at + 2)
  for (let i = 0; i < 16; i++) {
    const q = bytes[at + 4 + i]!
    out[to + i] = d * (q & 15) + m
    out[to + i + 16] = d * (q >> 4) + m
  }
})

/** Bit i of the four bytes at `at`, as the fifth bit of an element. */
const fifth = (bytes: Uint8Array, at: number, i: number): number => ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4

/** f16 d, 32 fifth bits, 32 × u4 q: d · (q − 16) */
export const q5_0 = blocks(32, 22, (bytes, at, out, to) => {
  const d = half(bytes, at)
  for (let i = 0; i < 16; i++) {
    const q = bytes[at + 6 + i]!
    out[to + i] = d * (((q & 15) | fifth(bytes, at + 2, i)) - 16)
    out[to + i + 16] = d * (((q >> 4) | fifth(bytes, at + 2, i + 16)) - 16)
  }
})

/** f16 d, f16 m, 32 fifth bits, 32 × u4 q: d · q + m */
export const q5_1 = blocks(32, 24, (bytes, at, out, to) => {
  const d = half(bytes, at)
  const m = half(bytes, at + 2)
  for (let i = 0; i < 16; i++) {
    const q = bytes[at + 8 + i]!
    out[to + i] = d * ((q & 15) | fifth(bytes, at + 4, i)) + m
    out[to + i + 16] = d * ((q >> 4) | fifth(bytes, at + 4, i + 16)) + m
  }
})

/** Six-bit scale of sub-block s among the twelve bytes at `at`: the first four are whole, the others are put together. */
const subScale = (bytes: Uint8Array, at: number, s: number): number =>
  s < 4 ? bytes[at + s]! & 63 : (bytes[at + s + 4]! & 15) | ((bytes[at + s - 4]! >> 6) << 4)
/** Six-bit minimum of sub-block s, likewise. */
const subMinimum = (bytes: Uint8Array, at: number, s: number): number =>
  s < 4 ? bytes[at + s + 4]! & 63 : (bytes[at + s + 4]! >> 4) | ((bytes[at + s]! >> 6) << 4)

/** f16 d, f16 m, scales and minima of 8 sub-blocks in 12 bytes, 8 × 32 × u4 q: d · scale · q − m · minimum */
export const q4K = blocks(256, 144, (bytes, at, out, to) => {
  const d = half(bytes, at)
  const m = half(bytes, at + 2)
  for (let s = 0; s < 8; s++) {
    const scale = d * subScale(bytes, at + 4, s)
    const minimum = m * subMinimum(bytes, at + 4, s)
    const from = at + 16 + 32 * (s >> 1)
    const shift = 4 * (s & 1)
    for (let i = 0; i < 32; i++) out[to + 32 * s + i] = scale * ((bytes[from + i]! >> shift) & 15) - minimum
  }
})

/** As Q4_K, with the fifth bits in 32 bytes before: bit s of byte i belongs to element i of sub-block s. */
export const q5K = blocks(256, 176, (bytes, at, out, to) => {
  const d = half(bytes, at)
  const m = half(bytes, at + 2)
  for (let s = 0; s < 8; s++) {
    const scale = d * subScale(bytes, at + 4, s)
    const minimum = m * subMinimum(bytes, at + 4, s)
    const from = at + 48 + 32 * (s >> 1)
    const shift = 4 * (s & 1)
    for (let i = 0; i < 32; i++) {
      const q = ((bytes[from + i]! >> shift) & 15) | (((bytes[at + 16 + i]! >> s) & 1) << 4)
      out[to + 32 * s + i] = scale * q - minimum
    }
  }
})

/**
 * 256 × low u4, 256 × high u2, 16 × i8 scale, f16 d: d · scale · (q − 32), 16 elements to a scale. Of each half of the
 * block, the low bits of quarters 0 and 1 are below those of 2 and 3, and the high bits of all four share a byte.
 */
export const q6K = blocks(256, 210, (bytes, at, out, to) => {
  const d = half(bytes, at + 208)
  for (let quarter = 0; quarter < 8; quarter++) {
    const low = at + 64 * (quarter >> 2) + 32 * (quarter & 1)
    const lowShift = 4 * ((quarter >> 1) & 1)
    const high = at + 128 + 32 * (quarter >> 2)
    const highShift = 2 * (quarter & 3)
    for (let i = 0; i < 32; i++) {
      const q = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> highShift) & 3) << 4)
      const scale = signed(bytes[at + 192 + 2 * quarter + (i >> 4)]!)
      out[to + 32 * quarter + i] = d * scale * (q - 32)
    }
  }
})
