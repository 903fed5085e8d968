import { describe, expect, it } from 'vitest'
import { ArgumentError, DTypeError, ExecutionError, ShapeError } from '../../lib/errors.ts'
import {
  Embedding,
  FeedForward,
  GatedFeedForward,
  GeGLU,
  LayerNorm,
  Linear,
  RMSNorm,
  SwiGLU,
  type FeedForwardOptions,
} from '../../lib/nn/index.ts'
import { grad } from '../../lib/ops/gradients.ts'
import * as ops from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'
import { affines, applyAffine, matrix, type Affine } from './plain-attention.ts'

const tolerance = 3e-6
const random = (): Random => new Random(11)
const affine = (layer: Linear): Affine => affines(layer, [layer.weight.shape[0]!])[0]!
const moments = (x: ArrayLike<number>): { mean: number; std: number; max: number } => {
  const data = Array.from(x)
  const mean = data.reduce((a, b) => a + b, 0) / data.length
  const std = Math.sqrt(data.reduce((a, b) => a + (b - mean) ** 2, 0) / data.length)
  return { mean, std, max: Math.max(...data.map(Math.abs)) }
}
/** A function of one number, by the f64 reference of the operation. */
const plain = (activation: ops.Activation) => (x: number) =>
  (ops[activation] as (x: Tensor) => Tensor)(tensor(x, { dtype: 'f64' })).item()

describe('Linear', () => {
  it('is x·Wᵀ + b of each row, of any rank', () => {
    const x = tensor.randn([2, 3, 5], { seed: 1 })
    for (const options of [{}, { bias: false }]) {
      const linear = new Linear(5, 4, { random: random(), ...options })
      const y = linear.forward(x)
      expect(y.shape).toEqual([2, 3, 4])
      const expected = matrix(ops.reshape(x, [6, 5])).flatMap((row) => applyAffine(affine(linear), row))
      expect(deviation(y.data(), expected)).toBeLessThan(tolerance)
      expect(linear.forward(ops.reshape(x, [6, 5])).data()).toEqual(y.data())
    }
  })

  it('starts with U(−1/√inputs, 1/√inputs)', () => {
    const linear = new Linear(64, 500, { random: random() })
    for (const [parameter, error] of [
      [linear.weight, 0.002],
      [linear.bias!, 0.02],
    ] as const) {
      const { mean, std, max } = moments(parameter.data())
      expect(Math.abs(mean)).toBeLessThan(error)
      expect(Math.abs(std - 1 / 8 / Math.sqrt(3))).toBeLessThan(error)
      expect(max).toBeLessThanOrEqual(1 / 8)
      expect(max).toBeGreaterThan(0.12)
    }
  })

  it('refuses sizes that are none and rows of another width', () => {
    for (const [inputs, outputs] of [
      [0, 1],
      [1, -1],
      [1.5, 1],
      ['3' as never, 1],
    ] as const)
      expect(() => new Linear(inputs, outputs)).toThrow(ArgumentError)
    expect(() => new Linear(1, 1, { baias: true } as never)).toThrow('did you mean bias?')
    const linear = new Linear(5, 4)
    expect(() => linear.forward(tensor.zeros([2, 4]))).toThrow(ShapeError)
    expect(() => linear.forward(tensor.zeros([2, 5], { dtype: 'f64' }))).toThrow(DTypeError)
    expect(() => linear.forward([1, 2, 3, 4, 5] as never)).toThrow(ArgumentError)
    expect(() => linear.forward(tensor.zeros([2, 5]), { activation: 'geloo' as never })).toThrow('did you mean gelu?')
  })
})

describe('Embedding', () => {
  it('gives rows of its weight', () => {
    const embedding = new Embedding(10, 3, { random: random() })
    const rows = matrix(embedding.weight)
    const ids = tensor(
      [
        [9, 0],
        [3, 3],
      ],
      { dtype: 'i32' },
    )
    expect(embedding.forward(ids).toArray()).toEqual([
      [rows[9], rows[0]],
      [rows[3], rows[3]],
    ])
  })

  it('starts with N(0, 1)', () => {
    const { mean, std } = moments(new Embedding(100, 64, { random: random() }).weight.data())
    expect(Math.abs(mean)).toBeLessThan(0.05)
    expect(Math.abs(std - 1)).toBeLessThan(0.04)
  })

  it('keeps the row of padding at zero: it starts so and gets no gradient', () => {
    const embedding = new Embedding(4, 2, { paddingIndex: 1, random: random() })
    expect(matrix(embedding.weight).map((row) => row.every((value) => value === 0))).toEqual([
      false,
      true,
      false,
      false,
    ])
    const ids = tensor([1, 1, 2], { dtype: 'i32' })
    const { weight } = grad(() => ops.sum(embedding.forward(ids)), { weight: embedding.weight })({})
    expect(weight.toArray()).toEqual([
      [0, 0],
      [0, 0],
      [1, 1],
      [0, 0],
    ])
  })

  it('refuses what is no id', () => {
    const embedding = new Embedding(4, 2)
    for (const id of [4, -1]) expect(() => embedding.forward(tensor([id], { dtype: 'i32' }))).toThrow(ExecutionError)
    expect(() => embedding.forward(tensor([1]))).toThrow(DTypeError)
    for (const paddingIndex of [4, -1, 0.5]) expect(() => new Embedding(4, 2, { paddingIndex })).toThrow(ArgumentError)
  })
})

describe('norms', () => {
  const x = tensor.randn([6, 20], { seed: 4 })
  const rows = matrix(x)
  const scale = Array.from({ length: 20 }, (_, i) => 0.5 + i / 10)
  const shift = scale.map((value) => value - 1)

  it.each([{}, { epsilon: 0.1 }, { bias: false }])('LayerNorm %j is what its formula says', (options) => {
    const norm = new LayerNorm(20, options)
    expect([...norm.weight.data()]).toEqual(scale.map(() => 1))
    norm.weight.copyFrom(scale)
    if (options.bias ?? true) expect([...norm.bias!.data()]).toEqual(scale.map(() => 0))
    norm.bias?.copyFrom(shift)
    const expected = rows.flatMap((row) => {
      const { mean, std } = moments(row)
      return row.map(
        (value, i) =>
          ((value - mean) / Math.sqrt(std ** 2 + (options.epsilon ?? 1e-5))) * scale[i]! + (norm.bias ? shift[i]! : 0),
      )
    })
    expect(deviation(norm.forward(x).data(), expected)).toBeLessThan(tolerance)
  })

  it.each([{}, { epsilon: 0.1 }])('RMSNorm %j is what its formula says', (options) => {
    const norm = new RMSNorm(20, options)
    norm.weight.copyFrom(scale)
    const expected = rows.flatMap((row) => {
      const squares = row.reduce((a, value) => a + value ** 2, 0) / row.length
      return row.map((value, i) => (value / Math.sqrt(squares + (options.epsilon ?? 1e-5))) * scale[i]!)
    })
    expect(deviation(norm.forward(x).data(), expected)).toBeLessThan(tolerance)
  })

  it('refuse sizes that are none and rows of another width', () => {
    for (const Norm of [LayerNorm, RMSNorm]) {
      expect(() => new Norm(0)).toThrow(ArgumentError)
      expect(() => new Norm(4, { epsilon: -1 })).toThrow(ArgumentError)
      expect(() => new Norm(4, { eps: 1 } as never)).toThrow(ArgumentError)
      expect(() => new Norm(4).forward(x)).toThrow(ShapeError)
    }
    expect(() => new RMSNorm(4, { bias: true } as never)).toThrow(ArgumentError)
  })
})

describe('feed-forward layers', () => {
  const x = tensor.randn([2, 3, 6], { seed: 5 })
  const rows = matrix(ops.reshape(x, [6, 6]))

  it.each(['relu', 'gelu', 'geluTanh', 'silu', 'tanh', 'sigmoid'] as const)('FeedForward with %s', (activation) => {
    const layer = new FeedForward({ dim: 6, hidden: 10, activation, random: random() })
    const expected = rows.flatMap((row) =>
      applyAffine(affine(layer.down), applyAffine(affine(layer.up), row).map(plain(activation))),
    )
    expect(deviation(layer.forward(x).data(), expected)).toBeLessThan(tolerance)
  })

  const gatedLayers: [string, (options: FeedForwardOptions) => GatedFeedForward, ops.Activation, boolean][] = [
    ['GatedFeedForward', (options) => new GatedFeedForward(options), 'silu', false],
    [
      'GatedFeedForward with tanh',
      (options) => new GatedFeedForward({ ...options, activation: 'tanh' }),
      'tanh',
      false,
    ],
    ['SwiGLU', (options) => new SwiGLU(options), 'silu', false],
    ['GeGLU', (options) => new GeGLU(options), 'gelu', false],
    ['SwiGLU with biases', (options) => new SwiGLU({ ...options, bias: true }), 'silu', true],
  ]
  it.each(gatedLayers)('%s', (_, make, activation, bias) => {
    const layer = make({ dim: 6, hidden: 10, random: random() })
    expect(layer.gateUp!.bias !== undefined).toBe(bias)
    const [gate, up] = affines(layer.gateUp!, [10, 10])
    const expected = rows.flatMap((row) => {
      const ups = applyAffine(up!, row)
      const inner = applyAffine(gate!, row).map((value, i) => plain(activation)(value) * ups[i]!)
      return applyAffine(affine(layer.down), inner)
    })
    expect(deviation(layer.forward(x).data(), expected)).toBeLessThan(tolerance)
  })

  it('are 4·dim wide and take gelu unless said', () => {
    expect(new FeedForward({ dim: 6 }).up.weight.shape).toEqual([24, 6])
    expect(new SwiGLU({ dim: 6 }).gateUp!.weight.shape).toEqual([48, 6])
    const [said, unsaid] = [{ activation: 'gelu' as const }, {}].map((options) =>
      new FeedForward({ dim: 6, random: random(), ...options }).forward(x).data(),
    )
    expect(unsaid).toEqual(said)
  })

  it('refuse options that make no sense', () => {
    for (const Layer of [FeedForward, GatedFeedForward, SwiGLU, GeGLU])
      for (const options of [
        {},
        { dim: 0 },
        { dim: 4, hidden: 0 },
        { dim: 4, dropout: 1 },
        { dim: 4, width: 3 },
        undefined,
      ])
        expect(() => new Layer(options as never), JSON.stringify(options)).toThrow(ArgumentError)
    expect(() => new FeedForward({ dim: 4, activation: 'geloo' as never })).toThrow('did you mean gelu?')
    for (const Layer of [SwiGLU, GeGLU])
      expect(() => new Layer({ dim: 4, activation: 'relu' } as never)).toThrow('unknown option "activation"')
  })
})
