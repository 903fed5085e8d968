/** Numbers below `n`, the same for a seed (Mulberry32). */
export function numbers(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n)
  }
}

const counts = [0, 1, 2, 7, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff]

/** A copy of `bytes` with one to four damages, those of counts and sizes among them; most in the first `head` bytes. */
export function mutate(bytes: Uint8Array, head: number, below: (n: number) => number): Uint8Array {
  let result = Uint8Array.from(bytes)
  for (let n = 1 + below(4); n > 0 && result.length; n--) {
    const at = below(below(8) ? Math.min(head, result.length) : result.length)
    const kind = below(7)
    if (kind === 0) result[at]! ^= 1 << below(8)
    else if (kind === 1) result[at] = below(256)
    else if (kind === 2) result = result.slice(0, at)
    else if (kind === 3) result = Uint8Array.from([...result.subarray(0, at), ...result.subarray(at + 1 + below(16))])
    else if (kind === 4) {
      const from = below(result.length)
      result.copyWithin(at, from, from + 1 + below(32))
    } else if (kind === 5) result[at] = 0x30 + below(10)
    else {
      const view = new DataView(new ArrayBuffer(8))
      view.setUint32(0, counts[below(counts.length)]!, true)
      if (below(3) === 0) view.setUint32(4, counts[below(counts.length)]!, true)
      result.set(new Uint8Array(view.buffer).subarray(0, Math.min(8, result.length - at)), at)
    }
  }
  return result
}
