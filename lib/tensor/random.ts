import { ArgumentError, checkInteger, checkNumber, describe } from '../errors.ts'

/**
 * xoshiro128** (Blackman & Vigna 2018), seeded through SplitMix32: small, quick, and the same numbers on every
 * platform. `state` can be saved and put back, so that what was interrupted goes on where it stopped.
 */
export class Random {
  #s: Uint32Array = new Uint32Array(4)

  constructor(seed: number) {
    checkNumber('Random', 'seed', seed)
    let z = (Math.trunc(seed) ^ Math.trunc(seed / 2 ** 32)) >>> 0
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0
      let x = z ^ (z >>> 16)
      x = Math.imul(x, 0x21f0aaad)
      x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
      this.#s[i] = x ^ (x >>> 15)
    }
  }

  get state(): number[] {
    return [...this.#s]
  }
  set state(state: readonly number[]) {
    const isWord = (word: number): boolean => Number.isInteger(word) && word >>> 0 === word
    if (!Array.isArray(state) || state.length !== 4 || !state.every(isWord) || state.every((word) => word === 0))
      throw new ArgumentError(`Random: state should be 4 whole numbers below 2^32, not all 0, got ${describe(state)}`)
    this.#s = Uint32Array.from(state)
  }

  /** 32 random bits as an unsigned integer. */
  uint32(): number {
    const s = this.#s
    const s1 = s[1]!
    const x = Math.imul(s1, 5)
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0
    s[2]! ^= s[0]!
    s[3]! ^= s1
    s[1]! ^= s[2]!
    s[0]! ^= s[3]!
    s[2]! ^= s1 << 9
    s[3] = (s[3]! << 11) | (s[3]! >>> 21)
    return result
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53
  }

  /** A whole number in [0, n). */
  integer(n: number): number {
    checkInteger('Random', 'n', n, 1)
    return Math.floor(this.uniform() * n)
  }

  /** Standard normal (Box & Muller 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }
}
