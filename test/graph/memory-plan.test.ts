import { describe, expect, it } from 'vitest'
import type { Buffer } from '../../lib/graph/lower.ts'
import { planMemory } from '../../lib/graph/plan.ts'
import { compile, grad, ops, tensor, type Tensor } from '../../lib/index.ts'
import { Random } from '../../lib/tensor/random.ts'
import { deviation } from '../reference/deviation.ts'

const { add, exp, matmul, multiply, sum, tanh } = ops

describe('planMemory', () => {
  const buffer = (bytes: number, first: number, last: number): Buffer => ({ bytes, place: 'arena', first, last })

  it('never lets two buffers that live at the same time overlap, and wastes little', () => {
    const random = new Random(1)
    for (let round = 0; round < 200; round++) {
      const buffers = Array.from({ length: 1 + random.integer(30) }, () => {
        const first = random.integer(20)
        return buffer(random.integer(1000), first, first + random.integer(8))
      })
      const { arenaBytes, offsets } = planMemory(buffers)
      const range = (b: Buffer): [number, number] => [offsets.get(b)!, offsets.get(b)! + b.bytes]
      for (const a of buffers) {
        expect(range(a)[0] % 64).toBe(0)
        expect(range(a)[1]).toBeLessThanOrEqual(arenaBytes)
        for (const b of buffers) {
          if (a === b || a.first > b.last || b.first > a.last) continue
          expect(range(a)[1] <= range(b)[0] || range(b)[1] <= range(a)[0]).toBe(true)
        }
      }
      const live = (at: number): number =>
        buffers.filter((b) => b.first <= at && at <= b.last).reduce((n, b) => n + Math.ceil(b.bytes / 64) * 64, 0)
      const least = Math.max(...Array.from({ length: 28 }, (_, at) => live(at)))
      expect(arenaBytes).toBeGreaterThanOrEqual(least)
      expect(arenaBytes).toBeLessThanOrEqual(2 * least)
    }
  })

  it('gives no room to what is bound or never used', () => {
    const { arenaBytes, offsets } = planMemory([
      { ...buffer(100, 0, 1), place: { input: 0 } },
      { ...buffer(100, 0, 1), place: { output: 0 } },
      buffer(100, -1, -1),
      buffer(64, 0, 3),
    ])
    expect([arenaBytes, offsets.size]).toEqual([64, 1])
  })
})

describe('the memory of a program', () => {
  const x = tensor.randn([64, 64], { seed: 1 })
  const bytes = 4 * 64 * 64
  const repeated =
    (times: number, step: (x: Tensor) => Tensor) =>
    ({ x }: { x: Tensor }): Tensor =>
      sum(Array.from({ length: times }).reduce<Tensor>((y) => step(y), x))
  const memoryOf = (fn: (inputs: { x: Tensor }) => unknown): number => {
    using program = compile(fn)
    program.runSync({ x })
    return program.memoryBytes
  }

  it('does not grow with the length of a chain: elementwise operations work in place', () => {
    const step = (y: Tensor): Tensor => add(tanh(y), x)
    const [short, long] = [memoryOf(repeated(2, step)), memoryOf(repeated(40, step))]
    expect(long).toBe(short)
    expect(long - memoryOf(({ x }) => sum(x))).toBe(bytes)
  })

  it('is two buffers that take turns for a chain of products', () => {
    const step = (y: Tensor): Tensor => matmul(y, x)
    const [short, long] = [memoryOf(repeated(3, step)), memoryOf(repeated(30, step))]
    expect(long).toBe(short)
    const one = memoryOf(repeated(1, step))
    expect(long - one).toBe(bytes)
  })

  it('is none for a chain that ends in a result: that is where it works', () => {
    expect(memoryOf(({ x }) => tanh(exp(tanh(x))))).toBe(0)
  })

  it('keeps what is read again', () => {
    const fn = ({ x }: { x: Tensor }): Tensor[] => {
      const e = exp(x)
      const t = tanh(e)
      const view = ops.reshape(e, [-1])
      const square = multiply(t, t)
      const own = exp(t)
      return [add(square, e), sum(view), multiply(t, e), add(own, ops.transpose(own))]
    }
    using program = compile(fn)
    const actual = program.runSync({ x })
    fn({ x }).forEach((expected, i) => expect(deviation(actual[i]!.data(), expected.data())).toBeLessThan(1e-6))
  })

  it('never changes inputs, and never what is captured', () => {
    const before = x.data().slice()
    const captured = tensor.ones([64, 64])
    using program = compile((t: { x: Tensor }) => [tanh(t.x), exp(captured), add(t.x, captured)])
    program.runSync({ x })
    expect(x.data()).toEqual(before)
    expect(captured.data()).toEqual(tensor.ones([64, 64]).data())
  })

  it('of a backward pass is what the forward pass leaves for it, not more per layer', () => {
    const w = tensor.randn([64, 64], { seed: 2 })
    const train = (layers: number) => (t: { x: Tensor }) =>
      grad(() => sum(Array.from({ length: layers }).reduce<Tensor>((y) => tanh(matmul(y, w)), t.x)), { w })({})
    const [four, eight, twelve] = [4, 8, 12].map((layers) => memoryOf(train(layers)))
    expect(twelve! - eight!).toBe(eight! - four!)
    // The result of each layer, and what its activation was taken of.
    expect((eight! - four!) / 4).toBeLessThanOrEqual(2 * bytes)
  })
})
