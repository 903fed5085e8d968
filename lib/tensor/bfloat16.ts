const float = new Float32Array(1)
const word = new Uint32Array(float.buffer)

/** The bits of the bfloat16 nearest to a number: half way to even, beyond the largest infinite, NaN stays one. */
export function toBfloat16(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0
  float[0] = x
  // What an f32 has no room for counts too: towards zero, the last bit telling that there was more.
  if (Math.abs(float[0]) > Math.abs(x)) word[0]!--
  if (float[0] !== x) word[0]! |= 1
  const bits = word[0]!
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

export function fromBfloat16(bits: number): number {
  word[0] = bits << 16
  return float[0]!
}
