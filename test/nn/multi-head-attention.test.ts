import { describe, expect, it } from 'vitest'
import { ArgumentError, ShapeError } from '../../lib/errors.ts'
import { compile } from '../../lib/graph/compile.ts'
import { KeyValueCache, MultiHeadAttention, type MultiHeadAttentionOptions } from '../../lib/nn/index.ts'
import * as ops from '../../lib/ops/index.ts'
import { grad } from '../../lib/ops/gradients.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'
import { cube, plainAttention, type PlainAttention } from './plain-attention.ts'

const tolerance = 3e-6
const [batch, length, dim] = [3, 7, 24]
const x = tensor.randn([batch, length, dim], { seed: 1 })
const memory = tensor.randn([batch, 5, 10], { seed: 2 })
const all = (): boolean => true
const layerOf = (options: Omit<MultiHeadAttentionOptions, 'dim' | 'random'>): MultiHeadAttention =>
  new MultiHeadAttention({ dim, random: new Random(3), ...options })

const close = (actual: Tensor, expected: number[][][]): void =>
  expect(deviation(actual.data(), expected.flat(2))).toBeLessThan(tolerance)

describe('self-attention', () => {
  const plain = (layer: MultiHeadAttention, options: Partial<PlainAttention>): number[][][] =>
    plainAttention(layer, cube(x), cube(x), { heads: 4, headDim: 6, sees: all, ...options })

  it.each([{}, { bias: false }, { bias: true, outputBias: false }])(
    'is what its definition says, with %j',
    (options) => {
      const layer = layerOf({ heads: 4, ...options })
      close(layer.forward(x), plain(layer, {}))
    },
  )

  it.each([1, 2, 4])('with %i key-value heads', (kvHeads) => {
    const layer = layerOf({ heads: 4, kvHeads })
    expect(layer.qkv!.weight.shape).toEqual([dim + 12 * kvHeads, dim])
    close(layer.forward(x), plain(layer, { kvHeads }))
  })

  it('with a width of heads of its own', () => {
    const layer = layerOf({ heads: 3, headDim: 5 })
    expect(layer.output.weight.shape).toEqual([dim, 15])
    close(layer.forward(x), plain(layer, { heads: 3, headDim: 5 }))
  })

  it('of one sequence gives what it gives in a batch of one', () => {
    const layer = layerOf({ heads: 4 })
    const one = ops.slice(x, 0, 1, 2)
    const alone = layer.forward(ops.reshape(one, [length, dim]), { causal: true })
    expect(alone.shape).toEqual([length, dim])
    expect(alone.data()).toEqual(layer.forward(one, { causal: true }).data())
  })

  // Longer than a block of queries of the kernel, too.
  it.each([
    [7, [7, 4, 1]],
    [7, [0, 6, 3]],
    [150, [150, 65, 20]],
    [1, [1, 0, 1]],
  ])('of %i tokens that are causal, of which %j count', (tokens, lengths) => {
    const long = tensor.randn([batch, tokens, dim], { seed: 5 })
    using keyLengths = tensor(Int32Array.from(lengths))
    for (const [causal, counted] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      const layer = layerOf({ heads: 4, kvHeads: 2 })
      const sees = (b: number, i: number, j: number): boolean => (!causal || j <= i) && (!counted || j < lengths[b]!)
      const expected = plainAttention(layer, cube(long), cube(long), { heads: 4, kvHeads: 2, headDim: 6, sees })
      close(layer.forward(long, { causal, ...(counted && { keyLengths }) }), expected)
    }
  })

  it('of a causal padded batch gives every sequence what it gets alone, and its parameters the same gradients', () => {
    const lengths = [7, 4, 2]
    using keyLengths = tensor(Int32Array.from(lengths))
    const layer = layerOf({ heads: 4, rope: {} })
    // Padding that would be seen at once.
    const padded = tensor(x.data().slice(), { shape: x.shape })
    lengths.forEach((n, b) => padded.data().fill(1e6, (b * length + n) * dim, (b + 1) * length * dim))
    const counted = (y: Tensor, b: number): Tensor => ops.slice(ops.slice(y, 0, b, b + 1), 1, 0, lengths[b]!)
    const together = layer.forward(padded, { causal: true, keyLengths })
    lengths.forEach((_, b) => {
      const alone = layer.forward(counted(x, b), { causal: true })
      expect(deviation(counted(together, b).data(), alone.data())).toBeLessThan(tolerance)
    })

    const loss = (y: Tensor): Tensor => ops.sum(ops.square(y))
    const sum = (parts: Tensor[]): Tensor => parts.reduce((a, part) => ops.add(a, part))
    const parameters = layer.parameters()
    const padding = grad(() => {
      const y = layer.forward(padded, { causal: true, keyLengths })
      return sum(lengths.map((_, b) => loss(counted(y, b))))
    }, parameters)({})
    const separate = grad(
      () => sum(lengths.map((_, b) => loss(layer.forward(counted(x, b), { causal: true })))),
      parameters,
    )({})
    for (const [name, gradient] of padding)
      expect(deviation(gradient.data(), separate.get(name)!.data()), name).toBeLessThan(tolerance)
  })
})

it("attention that is causal from the 'start' lets one query see one key, in f32 and f64", () => {
  for (const dtype of ['f32', 'f64'] as const) {
    const [q, k, v] = [1, 3, 3].map((tokens, seed) => tensor.randn([2, 4, tokens, 8], { seed, dtype }))
    const first = ops.slice(v!, 2, 0, 1)
    expect(ops.attention(q!, k!, v!, { causal: 'start' }).data()).toEqual(first.data())
    expect(ops.attention(q!, k!, v!, { causal: true }).data()).toEqual(ops.attention(q!, k!, v!).data())
  }
})

describe('rotary positions', () => {
  /** Turns pair p of the first ones by t · frequencies[p] (Su et al. 2021). */
  const turnBy =
    (frequencies: readonly number[], interleaved: boolean, scale = 1) =>
    (head: number[], t: number): number[] => {
      const y = [...head]
      for (const [p, frequency] of frequencies.entries()) {
        const [a, b] = interleaved ? [2 * p, 2 * p + 1] : [p, p + frequencies.length]
        const [cos, sin] = [Math.cos, Math.sin].map((f) => scale * f(t * Math.fround(frequency)))
        y[a] = head[a]! * cos! - head[b]! * sin!
        y[b] = head[b]! * cos! + head[a]! * sin!
      }
      return y
    }
  const turn = (turned: number, theta: number, interleaved: boolean) =>
    turnBy(
      Array.from({ length: turned / 2 }, (_, p) => theta ** ((-2 * p) / turned)),
      interleaved,
    )

  it.each([
    [{}, turn(6, 1e4, false)],
    [{ interleaved: true }, turn(6, 1e4, true)],
    [{ theta: 500, dim: 4 }, turn(4, 500, false)],
    [{ theta: 500, dim: 2, interleaved: true }, turn(2, 500, true)],
    [{ frequencies: [0.7, 0.3] }, turnBy([0.7, 0.3], false)],
    [{ frequencies: [0.7, 0.3], interleaved: true, scale: 1.2 }, turnBy([0.7, 0.3], true, 1.2)],
  ])('%j turn queries and keys', (rope, turned) => {
    const layer = layerOf({ heads: 4, kvHeads: 2, rope })
    const options = { heads: 4, kvHeads: 2, headDim: 6, sees: (_: number, i: number, j: number) => j <= i }
    const expected = plainAttention(layer, cube(x), cube(x), { ...options, turn: turned })
    close(layer.forward(x, { causal: true }), expected)
    const shifted = plainAttention(layer, cube(x), cube(x), {
      ...options,
      turn: (head, t) => turned(head, 3 * t + 100),
    })
    using positions = tensor(Int32Array.from({ length }, (_, t) => 3 * t + 100))
    close(layer.forward(x, { causal: true, positions }), shifted)
  })

  it('refuse what is no pair', () => {
    for (const make of [
      () => layerOf({ heads: 8, rope: {} }),
      () => layerOf({ heads: 4, rope: { dim: 3 } }),
      () => layerOf({ heads: 4, headDim: 9, rope: {} }),
      () => layerOf({ heads: 4, rope: { frequencies: [1, 0.5, 0.2, 0.1] } }),
    ])
      expect(make).toThrow(ShapeError)
    expect(() => layerOf({ heads: 8, rope: {} })).toThrow('headDim should be even, got 3')
    for (const rope of [
      { dim: 8 },
      { dim: 0 },
      { theta: 0 },
      { theta: NaN },
      { tehta: 1 } as never,
      { scale: NaN },
      { frequencies: [NaN] },
      { frequencies: 1 } as never,
      { frequencies: [1], theta: 10 },
      { frequencies: [1], dim: 2 },
    ])
      expect(() => layerOf({ heads: 4, rope })).toThrow(ArgumentError)
  })
})

describe('rules of scores', () => {
  const plain = (layer: MultiHeadAttention, options: Partial<PlainAttention>): number[][][] =>
    plainAttention(layer, cube(x), cube(x), { heads: 4, headDim: 6, sees: all, ...options })

  it('windows: the last keys when causal, else both sides', () => {
    close(
      layerOf({ heads: 4, window: 4 }).forward(x),
      plain(layerOf({ heads: 4 }), { sees: (_, i, j) => Math.abs(i - j) <= 2 }),
    )
    close(
      layerOf({ heads: 4, window: 3 }).forward(x, { causal: true }),
      plain(layerOf({ heads: 4 }), { sees: (_, i, j) => j <= i && j > i - 3 }),
    )
  })

  it('soft cap, slopes and bias', () => {
    const layer = layerOf({ heads: 4, softcap: 0.5 })
    close(layer.forward(x), plain(layer, { shape: (s) => 0.5 * Math.tanh(s / 0.5) }))
    const alibi = layerOf({ heads: 4, alibi: true })
    const sloped = (s: number, h: number, i: number, j: number): number => s - Math.abs(i - j) / 4 ** (h + 1)
    close(alibi.forward(x, { causal: true }), plain(alibi, { shape: sloped, sees: (_, i, j) => j <= i }))
    expect([...layerOf({ heads: 6, headDim: 4, alibi: true }).slopes!.data()]).toEqual([
      1 / 4,
      1 / 16,
      1 / 64,
      1 / 256,
      1 / 2,
      1 / 8,
    ])
    const bias = tensor.randn([4, length, length], { seed: 8 })
    const added = cube(bias)
    const biased = layerOf({ heads: 4 })
    close(biased.forward(x, { bias }), plain(biased, { shape: (s, h, i, j) => s + added[h]![i]![j]! }))
  })
})

describe('packed sequences', () => {
  const lengths = [3, 0, 5, 1]
  const offsets = tensor(Int32Array.of(0, 3, 3, 8, 9))
  const packed = tensor.randn([9, dim], { seed: 6 })
  const positions = tensor(Int32Array.of(0, 1, 2, 0, 1, 2, 3, 4, 0))

  it.each([{}, { window: 2 }, { rope: {} }, { alibi: true }])('get what each gets alone, with %j', (options) => {
    const layer = layerOf({ heads: 4, kvHeads: 2, ...options })
    const together = layer.forward(packed, { causal: true, offsets, positions })
    let at = 0
    for (const n of lengths.filter((n) => n > 0)) {
      const alone = layer.forward(ops.slice(packed, 0, at, at + n), { causal: true })
      expect(deviation(ops.slice(together, 0, at, at + n).data(), alone.data())).toBeLessThan(tolerance)
      at += n
    }
  })

  it('attend to packed memories', () => {
    const layer = layerOf({ heads: 4, cross: true })
    const memories = tensor.randn([7, dim], { seed: 7 })
    const memoryOffsets = tensor(Int32Array.of(0, 2, 3, 3, 7))
    const together = layer.forward(packed, { memory: memories, offsets, memoryOffsets })
    const alone = layer.forward(ops.slice(packed, 0, 0, 3), { memory: ops.slice(memories, 0, 0, 2) })
    expect(deviation(ops.slice(together, 0, 0, 3).data(), alone.data())).toBeLessThan(tolerance)
  })

  it('ask for what they need', () => {
    expect(() => layerOf({ heads: 4 }).forward(x, { offsets })).toThrow(ShapeError)
    expect(() => layerOf({ heads: 4, rope: {} }).forward(packed, { offsets })).toThrow('needs positions')
    expect(() => layerOf({ heads: 4, cross: true }).forward(packed, { memory: packed, offsets })).toThrow(
      'memoryOffsets',
    )
    expect(() => layerOf({ heads: 4 }).forward(packed, { memoryOffsets: offsets })).toThrow(ArgumentError)
  })
})

describe('cross-attention', () => {
  it('takes keys and values from the memory', () => {
    const lengths = [5, 2, 0]
    using keyLengths = tensor(Int32Array.from(lengths))
    const layer = layerOf({ heads: 4, kvHeads: 2, memoryDim: 10 })
    const options = { heads: 4, kvHeads: 2, headDim: 6 }
    close(layer.forward(x, { memory }), plainAttention(layer, cube(x), cube(memory), { ...options, sees: all }))
    const seen = plainAttention(layer, cube(x), cube(memory), { ...options, sees: (b, _, j) => j < lengths[b]! })
    close(layer.forward(x, { memory, keyLengths }), seen)
  })

  it('is a layer of its own', () => {
    const cross = layerOf({ heads: 4, cross: true })
    expect([...cross.parameters().keys()]).toEqual([
      'query.weight',
      'query.bias',
      'keyValue.weight',
      'keyValue.bias',
      'output.weight',
      'output.bias',
    ])
    expect(() => cross.forward(x)).toThrow('needs memory')
    expect(() => layerOf({ heads: 4 }).forward(x, { memory: x })).toThrow('{ cross: true }')
    expect(() => layerOf({ heads: 4, cross: true, rope: {} })).toThrow(ArgumentError)
  })
})

describe('a cache', () => {
  const [context, headDim] = [9, 6]
  it.each([{}, { kvHeads: 1 }, { rope: {} }, { window: 3, softcap: 2, alibi: true }])(
    'gives the last tokens what the whole sequence gives them, with %j',
    (options) => {
      const layer = layerOf({ heads: 4, ...options })
      const sequence = tensor.randn([2, context, dim], { seed: 9 })
      const whole = layer.forward(sequence, { causal: true })
      using cache = new KeyValueCache({ layers: 1, batch: 2, kvHeads: options.kvHeads ?? 4, headDim, capacity: 12 })
      const step = (piece: Tensor, before: number): Tensor => {
        const end = before + piece.shape[1]!
        return compile(({ piece, position, keyLengths, positions }: Record<string, Tensor>) =>
          layer.forward(piece!, { causal: true, keyLengths, positions, cache: cache.layer(0, position!) }),
        ).runSync({
          piece,
          position: tensor(before, { dtype: 'i32' }),
          keyLengths: Int32Array.of(end, end),
          positions: Int32Array.from({ length: piece.shape[1]! }, (_, i) => before + i),
        })
      }
      let before = 0
      for (const tokens of [4, 1, 1, 3]) {
        const y = step(ops.slice(sequence, 1, before, before + tokens), before)
        expect(deviation(y.data(), ops.slice(whole, 1, before, before + tokens).data())).toBeLessThan(tolerance)
        before += tokens
      }
    },
  )

  it('asks for what it can not know', () => {
    using cache = new KeyValueCache({ layers: 1, kvHeads: 4, headDim, capacity: 4 })
    const token = tensor.randn([1, 1, dim], { seed: 1 })
    const layerCache = cache.layer(0, tensor(0, { dtype: 'i32' }))
    const keyLengths = tensor(Int32Array.of(1))
    expect(() => layerOf({ heads: 4 }).forward(token, { cache: layerCache })).toThrow('a cache needs keyLengths')
    expect(() => layerOf({ heads: 4, rope: {} }).forward(token, { cache: layerCache, keyLengths })).toThrow(
      'needs positions',
    )
    for (const dtype of ['bf16', 'int8'] as const) {
      using small = new KeyValueCache({ layers: 1, kvHeads: 4, headDim, capacity: 4, dtype })
      const given = { cache: small.layer(0, tensor(0, { dtype: 'i32' })), keyLengths }
      const bias = tensor.zeros([1, 4, 1, 4])
      expect(() => layerOf({ heads: 4 }).forward(token, { ...given, bias })).toThrow(
        new ArgumentError(
          "MultiHeadAttention: a bias by keys goes with a cache in f32 of sequences that grow together; make it with { dtype: 'f32' }",
        ),
      )
    }
    expect(() => cache.layer(1, layerCache.position)).toThrow(ArgumentError)
    expect(() => new KeyValueCache({ layers: 1, kvHeads: 4, headDim, capacity: 0 })).toThrow(ArgumentError)
  })
})

it('refuses widths that do not fit and unknown options', () => {
  for (const options of [
    { heads: 5 },
    { heads: 0 },
    { heads: 4, kvHeads: 3 },
    { heads: 4, kvHeads: 8 },
    { heads: 4, headDim: 257 },
    { heads: 4, dropout: 1 },
    { heads: 4, numHeads: 3 } as never,
  ])
    expect(() => layerOf(options), JSON.stringify(options)).toThrow(ArgumentError)
  const layer = layerOf({ heads: 4 })
  expect(() => layer.forward(tensor.zeros([dim]))).toThrow(ShapeError)
  expect(() => layer.forward(tensor.zeros([2, 3, dim + 1]))).toThrow(ShapeError)
  expect(() => layer.forward(x, { casual: true } as never)).toThrow('did you mean causal?')
  expect(() => layer.forward(x, { causal: 'end' as never })).toThrow(ArgumentError)
  expect(() => layer.forward(x, { keyLengths: tensor(Int32Array.of(1)) })).toThrow(ShapeError)
})
