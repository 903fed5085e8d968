import { afterAll, describe, expect, it } from 'vitest'
import { DisposedError } from '../../lib/errors.ts'
import { compile, nn, ops, tensor, valueAndGrad, type Tensor } from '../../lib/index.ts'
import { Random } from '../../lib/tensor/random.ts'
import { heldBytes } from '../held-bytes.ts'

const { add, matmul, multiply, sum } = ops
const numbersOf = (x: Tensor): number[] => [...x.data()]

/** Products one after another: more than a second of work. */
const large = tensor.randn([512, 512], { seed: 1 })
const laborious = (x: Tensor): Tensor =>
  Array.from({ length: 400 }).reduce<Tensor>((y) => multiply(matmul(y, large), 0.04), add(large, x))
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

it('run gives the bits that runSync gives', async () => {
  const layer = new nn.TransformerEncoderLayer({ dim: 32, heads: 4, ffn: 64, dropout: 0.1, random: new Random(1) })
  const parameters = layer.parameters()
  const loss = ({ x, seed }: { x: Tensor; seed: Tensor }): Tensor =>
    sum(layer.forward(x, { causal: true, dropout: new nn.DropoutSource(seed) }))
  using program = compile(valueAndGrad(loss, parameters))
  const inputs = { x: tensor.randn([3, 40, 32], { seed: 2 }), seed: tensor(7, { dtype: 'i32' }) }
  const [sync, async] = [program.runSync(inputs), await program.run(inputs)]
  expect(numbersOf(async.value)).toEqual(numbersOf(sync.value))
  for (const [name, gradient] of sync.grads) expect(async.grads.get(name)!.data(), name).toEqual(gradient.data())
})

describe('runs at the same time', () => {
  it('of one program and of several do not disturb one another', async () => {
    const step = (times: number) => (x: Tensor) => Array.from({ length: times }).reduce<Tensor>((y) => add(y, x), x)
    using two = compile(step(2))
    using three = compile(step(3))
    const runs = Array.from({ length: 30 }, (_, i) => {
      const program = i % 2 ? two : three
      return program.run(Float32Array.of(i, -i))
    })
    expect(numbersOf(two.runSync(Float32Array.of(1)))).toEqual([3])
    const results = await Promise.all(runs)
    results.forEach((result, i) => {
      const times = i % 2 ? 3 : 4
      expect(numbersOf(result)).toEqual([times * i, -times * i])
    })
  })

  it('take data as it is when run is called, and keep tensors that are disposed meanwhile', async () => {
    using program = compile(({ data, given }: { data: Tensor; given: Tensor }) => add(data, given))
    const data = Float32Array.of(1, 2)
    const given = tensor([10, 20])
    const running = program.run({ data, given })
    data.fill(100)
    given.dispose()
    expect(numbersOf(await running)).toEqual([11, 22])
  })
})

describe('an abort', () => {
  const program = compile(laborious)
  afterAll(() => program.dispose())

  it('stops the run, with the reason of the signal; the program can run again', async () => {
    const controller = new AbortController()
    const running = program.run(0, { signal: controller.signal })
    await turn()
    controller.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    using quick = compile((x: Tensor) => add(x, 1))
    expect((await quick.run(1)).item()).toBe(2)
    const again = new AbortController()
    const second = program.run(0, { signal: again.signal })
    await turn()
    again.abort()
    await expect(second).rejects.toThrow(again.signal.reason)
  })

  it('before the start keeps it from starting; after the end it changes nothing', async () => {
    using quick = compile((x: Tensor) => add(x, 1))
    await expect(quick.run(1, { signal: AbortSignal.abort(new Error('early')) })).rejects.toThrow('early')
    const controller = new AbortController()
    const result = await quick.run(1, { signal: controller.signal })
    controller.abort()
    expect(result.item()).toBe(2)
  })

  it('ends one run of many', async () => {
    const controllers = Array.from({ length: 3 }, () => new AbortController())
    using quick = compile((x: Tensor) => add(x, 1))
    const first = program.run(0, { signal: controllers[0]!.signal })
    const second = quick.run(1, { signal: controllers[1]!.signal })
    const third = quick.run(2, { signal: controllers[2]!.signal })
    controllers[1]!.abort(new Error('second'))
    await expect(second).rejects.toThrow('second')
    controllers[0]!.abort(new Error('first'))
    await expect(first).rejects.toThrow('first')
    expect((await third).item()).toBe(3)
  })

  describe('of a program that changes parameters', () => {
    const parameter = tensor.ones([2 ** 20])
    const moments = { m: tensor.zeros([2 ** 20]), v: tensor.zeros([2 ** 20]) }
    const rates = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 }
    const updates = 100
    /** `updates` steps of weight decay, by 0.9 each. */
    const train = ({ x, learningRate, step }: Record<string, Tensor>): Tensor => {
      const gradient = ops.broadcastTo(x!, [2 ** 20])
      for (let i = 0; i < updates; i++)
        ops.adamWStep(parameter, { gradient, ...moments, ...rates, learningRate: learningRate!, step: step! })
      return x!
    }
    const inputs = { x: 0, learningRate: 1, step: tensor(1, { dtype: 'i32' }) }

    it('comes in time before the first change', async () => {
      using step = compile((given: Record<string, Tensor>) =>
        train({ ...given, x: multiply(ops.mean(laborious(given['x']!)), 0) }),
      )
      const controller = new AbortController()
      const running = step.run(inputs, { signal: controller.signal })
      await turn()
      controller.abort(new Error('enough'))
      await expect(running).rejects.toThrow('enough')
      expect(parameter.data().every((value) => value === 1)).toBe(true)
    })

    it('comes too late after it: all of them are changed', async () => {
      using step = compile(train)
      const controller = new AbortController()
      const running = step.run(inputs, { signal: controller.signal })
      await turn()
      controller.abort()
      const changed = await running.then(
        () => 0.9 ** updates,
        () => 1,
      )
      for (const value of [parameter.data()[0]!, parameter.data().at(-1)!]) expect(value / changed).toBeCloseTo(1, 4)
    })
  })
})

describe('a disposed program', () => {
  it('refuses to run; what runs already ends', async () => {
    const program = compile((x: Tensor) => add(x, 1))
    program.runSync(1)
    const running = [program.run(2), program.run(Float32Array.of(3))]
    program.dispose()
    program.dispose()
    expect((await Promise.all(running)).map(numbersOf)).toEqual([[3], [4]])
    for (const input of [1, Float32Array.of(1, 2)]) {
      expect(() => program.runSync(input)).toThrow(DisposedError)
      await expect(program.run(input)).rejects.toThrow(DisposedError)
    }
    expect([program.memoryBytes, program.instructions, program.profile()]).toEqual([0, [], []])
    program.setProfiling(true)
  })
})

describe('memory', () => {
  const x = tensor.randn([20, 50], { seed: 3 })
  const work = (t: { x: Tensor; scale: Tensor }): Tensor[] => [
    multiply(matmul(t.x, ops.transpose(t.x)), t.scale),
    sum(ops.exp(t.x)),
  ]
  const after = async (body: () => Promise<void>): Promise<number> => {
    await body()
    const before = await heldBytes()
    for (let i = 0; i < 5; i++) await body()
    return (await heldBytes()) - before
  }

  it('comes back when results are disposed, run after run', async () => {
    using program = compile(work)
    const grown = await after(async () => {
      for (const result of program.runSync({ x, scale: 2 })) result.dispose()
      const many = await Promise.all([1, 2, 3].map((scale) => program.run({ x, scale })))
      for (const result of many.flat()) result.dispose()
    })
    expect(grown).toBeLessThanOrEqual(0)
  })

  it('comes back with the program', async () => {
    const grown = await after(async () => {
      using program = compile(work)
      for (const result of await program.run({ x, scale: Float32Array.of(2) })) result.dispose()
    })
    expect(grown).toBeLessThanOrEqual(0)
  })

  it('comes back with a program that is disposed while it runs', async () => {
    const grown = await after(async () => {
      const program = compile(work)
      const running = program.run({ x, scale: 2 })
      program.dispose()
      for (const result of await running) result.dispose()
    })
    expect(grown).toBeLessThanOrEqual(0)
  })

  it('comes back after errors and aborts', async () => {
    using table = tensor.zeros([4, 50])
    using program = compile(({ ids }: { ids: Tensor }) => [ops.embedding(table, ids), ops.embedding(table, ids)])
    const grown = await after(async () => {
      const ids = Int32Array.of(1, 4)
      expect(() => program.runSync({ ids })).toThrow('4')
      await expect(program.run({ ids })).rejects.toThrow('4')
      const controller = new AbortController()
      const aborted = program.run({ ids: Int32Array.of(0, 1) }, { signal: controller.signal })
      controller.abort()
      await aborted.then(
        (results) => results.forEach((result) => result.dispose()),
        (error: unknown) => expect(error).toBe(controller.signal.reason),
      )
    })
    expect(grown).toBeLessThanOrEqual(0)
  })

  it('of operations called one by one is that of their results', async () => {
    const grown = await after(async () => {
      using turned = ops.transpose(x)
      using product = matmul(x, turned)
      expect(product.size).toBe(400)
    })
    expect(grown).toBeLessThanOrEqual(0)
  })
})
