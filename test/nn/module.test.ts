import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { ArgumentError, DisposedError, ShapeError, TraceError } from '../../lib/errors.ts'
import { compile } from '../../lib/graph/compile.ts'
import { Embedding, LayerNorm, Linear, Module, RMSNorm, TransformerDecoder } from '../../lib/nn/index.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { mean, multiply, square } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Parameter, Tensor } from '../../lib/tensor/tensor.ts'

class Net extends Module {
  readonly embedding: Embedding
  readonly layers: Linear[]
  readonly norm = new RMSNorm(4)
  readonly tied: Parameter
  readonly name = 'not a parameter'
  readonly constant = tensor.ones([4])
  constructor(seed: number) {
    super()
    const random = new Random(seed)
    this.embedding = new Embedding(6, 4, { random })
    this.layers = [new Linear(4, 4, { random }), new Linear(4, 4, { bias: false, random })]
    this.tied = this.embedding.weight
  }
  forward(ids: Tensor): Tensor {
    const x = this.layers.reduce((hidden, layer) => layer.forward(hidden), this.embedding.forward(ids))
    return multiply(this.norm.forward(x), this.constant)
  }
}
const names = ['embedding.weight', 'layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'norm.weight']
const values = (module: Module): number[][] => [...module.parameters().values()].map((p) => [...p.data()])
const stateOf = (module: Module): Map<string, Tensor> => new Map<string, Tensor>(module.stateDict())

describe('parameters', () => {
  it('are named by field path, in the order of the fields, one that stands in two places once', () => {
    using net = new Net(1)
    expect([...net.parameters().keys()].sort()).toEqual([...names].sort())
    expect([...new Linear(2, 3).parameters().keys()]).toEqual(['weight', 'bias'])
    expect(net.parameterCount).toBe(24 + 16 + 4 + 16 + 4)
    expect(net.parameters().get('embedding.weight')).toBe(net.tied)
    using decoder = new TransformerDecoder({ layers: 1, dim: 4, heads: 2, ffn: 8, normFirst: true })
    expect([...decoder.parameters().keys()]).toEqual([
      ...['selfAttention.qkv', 'selfAttention.output', 'norm1', 'crossAttention.query', 'crossAttention.keyValue']
        .concat('crossAttention.output', 'norm2', 'feedForward.up', 'feedForward.down', 'norm3')
        .flatMap((layer) => [`layers.0.${layer}.weight`, `layers.0.${layer}.bias`]),
      'norm.weight',
      'norm.bias',
    ])
  })

  it('are found in modules that know each other', () => {
    class Child extends Module {
      readonly weight = new Linear(2, 2, { bias: false }).weight
      parent: Module | undefined
    }
    class Parent extends Module {
      readonly children = [new Child(), new Child()]
    }
    const parent = new Parent()
    for (const child of parent.children) child.parent = parent
    expect([...parent.parameters().keys()]).toEqual(['children.0.weight', 'children.1.weight'])
  })

  it('are the same for the same seed', () => {
    expect(values(new Net(7))).toEqual(values(new Net(7)))
    expect(values(new Net(7))).not.toEqual(values(new Net(8)))
  })

  it('that are frozen get a gradient only when they are asked for', () => {
    using net = new Net(2)
    net.layers[0]!.weight.trainable = false
    expect(net.parameterCount).toBe(64 - 16)
    using ids = tensor([0, 1, 5], { dtype: 'i32' })
    const loss = (): Tensor => mean(square(net.forward(ids)))
    const { grads } = valueAndGrad(loss)({})
    expect(grads.size).toBe(4)
    expect(grads.has(net.layers[0]!.weight)).toBe(false)
    expect(valueAndGrad(loss, net.parameters())({}).grads.size).toBe(5)
  })

  it('are disposed with the module, and so are its other tensors', () => {
    const linear = new Linear(3, 4)
    linear.dispose()
    linear.dispose()
    expect([linear.weight.isDisposed, linear.bias!.isDisposed]).toEqual([true, true])
    expect(() => linear.forward(tensor.zeros([1, 3]))).toThrow(DisposedError)
    const net = new Net(1)
    net.dispose()
    expect([...net.parameters().values(), net.constant].every((held) => held.isDisposed)).toBe(true)
  })

  it('are read and written at each run of a program that uses them', () => {
    using norm = new LayerNorm(2)
    using program = compile((inputs: { x: Tensor }) => norm.forward(inputs.x))
    using x = tensor([[-1, 1]])
    const run = (): number[] => [...program.runSync({ x }).data()].map((value) => Math.round(value * 100) / 100)
    expect(run()).toEqual([-1, 1])
    norm.bias!.copyFrom([1, 2])
    expect(run()).toEqual([0, 3])
    norm.dispose()
    expect(run).toThrow(DisposedError)
  })
})

describe('a state dict', () => {
  it('carries all values over', () => {
    using to = new Net(1)
    using from = new Net(2)
    to.loadStateDict(from.stateDict())
    expect(values(to)).toEqual(values(from))
    expect(to.embedding.weight.data()).not.toBe(from.embedding.weight.data())
  })

  it('that does not fit changes nothing', () => {
    using net = new Net(1)
    using other = new Net(2)
    const before = values(net)
    const gone = tensor.zeros([4])
    gone.dispose()
    const cases: [(state: Map<string, unknown>) => void, new (message: string) => Error, string][] = [
      [(state) => state.delete('norm.weight'), ArgumentError, 'missing norm.weight; pass { strict: false }'],
      [(state) => state.set('norm.wieght', tensor.ones([4])), ArgumentError, 'unknown norm.wieght'],
      [(state) => state.set('norm.weight', tensor.ones([5])), ShapeError, 'norm.weight should have shape [4], got [5]'],
      [(state) => state.set('norm.weight', tensor.ones([1, 4])), ShapeError, 'got [1, 4]'],
      [(state) => state.set('norm.weight', [1, 2, 3, 4]), ArgumentError, 'norm.weight should be a tensor'],
      [(state) => state.set('norm.weight', undefined), ArgumentError, 'got undefined'],
      [(state) => state.set('norm.weight', gone), DisposedError, 'norm.weight'],
      [(state) => state.clear(), ArgumentError, 'layers.0.weight'],
    ]
    for (const [damage, type, message] of cases) {
      const state: Map<string, unknown> = stateOf(other)
      damage(state)
      const load = (): void => net.loadStateDict(state as Map<string, Tensor>)
      expect(load).toThrow(type)
      expect(load).toThrow(message)
    }
    expect(() => net.loadStateDict({} as never)).toThrow(ArgumentError)
    expect(() => net.loadStateDict(stateOf(other), { strcit: false } as never)).toThrow('did you mean strict?')
    expect(values(net)).toEqual(before)
  })

  it('is loaded as far as it fits when it need not be strict; wrong shapes are refused still', () => {
    using net = new Net(1)
    const state = new Map<string, Tensor>([
      ['norm.weight', tensor([1, 2, 3, 4])],
      ['head.weight', tensor([1])],
    ])
    const before = values(net)
    net.loadStateDict(state, { strict: false })
    expect([...net.norm.weight.data()]).toEqual([1, 2, 3, 4])
    expect(values(net).filter((now, i) => now.some((value, j) => value !== before[i]![j])).length).toBe(1)
    state.set('layers.0.bias', tensor([1]))
    expect(() => net.loadStateDict(state, { strict: false })).toThrow(ShapeError)
  })

  it('is converted to the dtype of the parameters', () => {
    using norm = new RMSNorm(2)
    norm.loadStateDict(new Map([['weight', tensor([0.1, 3], { dtype: 'f64' })]]))
    expect([...norm.weight.data()]).toEqual([Math.fround(0.1), 3])
  })

  it('is nothing to load while a function is traced', () => {
    using norm = new RMSNorm(2)
    const program = compile(({ x }: { x: Tensor }) => {
      norm.loadStateDict(new Map([['weight', x]]))
      return x
    })
    expect(() => program.runSync({ x: Float32Array.of(1, 2) })).toThrow(TraceError)
  })
})

describe('safetensors', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('keep a module bit for bit', async () => {
    const path = join(folder, 'net.safetensors')
    using saved = new Net(3)
    await writeSafetensors(path, saved.stateDict())
    const { tensors } = await readSafetensors(path)
    expect([...tensors.keys()].sort()).toEqual([...names].sort())
    using loaded = new Net(4)
    loaded.loadStateDict(tensors)
    expect(values(loaded)).toEqual(values(saved))
    for (const held of tensors.values()) held.dispose()
  })
})
