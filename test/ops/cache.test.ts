import { afterAll, describe, expect, it } from 'vitest'
import {
  ArgumentError,
  compile,
  DisposedError,
  liveBytes,
  ops,
  ShapeError,
  tensor,
  type Tensor,
} from '../../lib/index.ts'
import { runtime } from '../../lib/runtime.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterAll(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

const i32 = (...values: number[]): Tensor => tensor(Int32Array.from(values))
const scalar = (value: number): Tensor => ops.reshape(i32(value), [])
const bf16 = (x: number): number => {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0]!
  const rounded = bits + 0x7fff + ((bits >>> 16) & 1)
  return (rounded >>> 16) & 0xffff
}
const bytesOf = (cache: ops.QuantizedCache): Uint8Array => {
  const words = cache.words.data()
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength).slice()
}

describe('what lies in a cache', () => {
  const x = tensor.randn([1, 1, 3, 18], { seed: 3 })
  const [row, position] = [x.data(), 15]

  it('bf16: rows of whole groups of 16, to nearest even', () => {
    const cache = ops.quantizedCache([1, 1, 20, 18], 'bf16')
    ops.cacheWrite(cache, x, scalar(position))
    const expected = new Uint16Array(20 * 32)
    for (let t = 0; t < 3; t++) for (let d = 0; d < 18; d++) expected[(position + t) * 32 + d] = bf16(row[t * 18 + d]!)
    expect(bytesOf(cache)).toEqual(new Uint8Array(expected.buffer))
  })

  it('int8: bytes of the largest magnitude / 127, scales behind each group of 16 tokens', () => {
    const cache = ops.quantizedCache([1, 1, 20, 18], 'int8')
    ops.cacheWrite(cache, x, scalar(position))
    const group = 16 * 32 + 64
    const bytes = bytesOf(cache)
    expect(bytes.length).toBe(2 * group)
    for (let t = 0; t < 3; t++) {
      const [block, at] = [Math.floor((position + t) / 16) * group, (position + t) % 16]
      const values = Array.from({ length: 18 }, (_, d) => row[t * 18 + d]!)
      const scale = Math.fround(Math.max(...values.map(Math.abs)) / 127)
      expect(new Float32Array(bytes.buffer.slice(block + 512 + 4 * at, block + 516 + 4 * at))[0]).toBe(scale)
      const stored = new Int8Array(bytes.buffer.slice(block + 32 * at, block + 32 * at + 32))
      values.forEach((value, d) => expect(Math.abs(stored[d]! - value / scale)).toBeLessThanOrEqual(0.50001))
      expect([...stored.subarray(18)]).toEqual(Array.from({ length: 14 }, () => 0))
    }
  })
})

describe.each(runtime.availableIsas())('attention to a cache on %s', (isa) => {
  const [q, k, v] = [1, 300, 300].map((length, seed) => tensor.randn([1, 4, length, 64], { seed: seed + 1 }))
  const keyLengths = i32(300)
  const exact = ops.attention(...([q, k, v].map((x) => ops.cast(x!, 'f64')) as [Tensor, Tensor, Tensor])).data()
  const rms = (x: ArrayLike<number>): number => Math.sqrt(Array.from(x).reduce((s, y) => s + y * y, 0) / x.length)

  it.each([
    ['bf16', 5e-4, 4e-3],
    ['int8', 2e-3, 1.5e-2],
  ] as const)('in %s is off by %f to %f of its size', (format, least, most) => {
    runtime.setIsa(isa)
    const [keys, values] = [k!, v!].map((x) =>
      ops.cacheWrite(ops.quantizedCache([1, 4, 320, 64], format), x, scalar(0)),
    ) as [ops.QuantizedCache, ops.QuantizedCache]
    const o = ops.cachedAttention(q!, keys, values, { keyLengths }).data()
    const error = rms(Array.from(o, (y, i) => y - exact[i]!)) / rms(exact)
    expect(error).toBeGreaterThan(least)
    expect(error).toBeLessThan(most)
  })
})

describe('a program', () => {
  it('serves many rows, then one, with the bits of separate runs', () => {
    for (const format of ['f32', 'bf16', 'int8'] as const) {
      const make = (): Tensor | ops.QuantizedCache =>
        format === 'f32' ? tensor.zeros([1, 2, 64, 16]) : ops.quantizedCache([1, 2, 64, 16], format)
      const run = (): number[] => {
        const cache = make()
        using program = compile(
          ({ x, at, lengths }: Record<string, Tensor>) => {
            const rows = ops.transpose(ops.reshape(x!, [1, -1, 2, 16]), [0, 2, 1, 3])
            const held = ops.cacheWrite(cache, rows, ops.reshape(at!, []))
            const o = ops.cachedAttention(rows, held, held, { keyLengths: lengths! })
            return ops.reshape(ops.transpose(o, [0, 2, 1, 3]), [-1, 32])
          },
          { rows: { capacity: 64, inputs: ['x'] } },
        )
        const all = tensor.randn([50, 32], { seed: 8 })
        const step = (from: number, to: number): number[] => [
          ...program
            .runSync({ x: ops.slice(all, 0, from, to), at: Int32Array.of(from), lengths: Int32Array.of(to) })
            .data(),
        ]
        return [...step(0, 40), ...step(40, 41), ...step(41, 44), ...step(44, 50)]
      }
      runtime.setThreads(1)
      const once = run()
      runtime.setThreads(2)
      expect(run()).toEqual(once)
      expect(once.some(Number.isNaN)).toBe(false)
    }
  })
})

describe('a quantized cache', () => {
  it('says what it is, and gives its memory back', () => {
    const live = liveBytes()
    const cache = ops.quantizedCache([1, 2, 20, 18], 'int8')
    expect(String(cache)).toBe('QuantizedCache int8 [1, 2, 20, 18]')
    expect(cache.bytes).toBe(2 * 2 * (16 * 32 + 64))
    cache.dispose()
    cache.dispose()
    expect(cache.isDisposed).toBe(true)
    expect(liveBytes()).toBe(live)
    expect(() => ops.cacheWrite(cache, tensor.zeros([1, 2, 1, 18]), scalar(0))).toThrow(DisposedError)
  })

  const x = tensor.zeros([1, 2, 1, 18])
  const held = ops.quantizedCache([1, 2, 20, 18], 'bf16')
  it.each<[string, () => unknown, new (message: string) => Error, string]>([
    ['a format that is none', () => ops.quantizedCache([1, 1, 1, 1], 'f16' as never), ArgumentError, 'bf16 or int8'],
    ['a shape that is none', () => ops.quantizedCache([1, 1, 1], 'bf16'), ShapeError, '[batch, kvHeads, capacity'],
    ['other heads', () => ops.cacheWrite(held, tensor.zeros([1, 3, 1, 18]), scalar(0)), ShapeError, 'does not fit'],
    ['another headDim', () => ops.cacheWrite(held, tensor.zeros([1, 2, 1, 17]), scalar(0)), ShapeError, 'does not fit'],
    ['too many rows', () => ops.cacheWrite(held, x, scalar(20)), Error, 'do not fit into a cache of 20'],
    [
      'two formats',
      () => ops.cachedAttention(x, held, tensor.zeros([1, 2, 20, 18]), { keyLengths: i32(1) }),
      ArgumentError,
      'one format',
    ],
    [
      'more keys than there are',
      () => ops.cachedAttention(x, held, held, { keyLengths: i32(21) }),
      Error,
      'keyLengths[0] is 21',
    ],
    ['addition', () => ops.add(x, held as never), ArgumentError, 'got a QuantizedCache'],
  ])('refuses %s', (_, run, type, message) => {
    expect(run).toThrow(type)
    expect(run).toThrow(message)
  })
})
