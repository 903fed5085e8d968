import { describe, expect, it } from 'vitest'
import { ArgumentError, DisposedError, ExecutionError, ShapeError, TraceError } from '../../lib/errors.ts'
import { profileRuns } from '../../lib/graph/profile.ts'
import { compile, ops, tensor, valueAndGrad, type Tensor } from '../../lib/index.ts'
import { deviation } from '../reference/deviation.ts'

const { add, crossEntropy, exp, matmul, multiply, sum, tanh, transpose } = ops
const numbersOf = (x: Tensor): number[] => [...x.data()]
const x = tensor([1, 2, 3])

describe('inputs and results', () => {
  it('keep their structure', () => {
    using program = compile(
      (inputs: { a: Tensor; list: [Tensor, { b: Tensor }]; map: Map<string, Tensor>; none?: Tensor }) => ({
        sum: add(inputs.a, inputs.list[1].b),
        parts: [inputs.list[0], new Map([['x', inputs.map.get('m')!]])] as const,
        none: inputs.none,
      }),
    )
    const result = program.runSync({ a: x, list: [tensor([5]), { b: 1 }], map: new Map([['m', Float32Array.of(7)]]) })
    expect(numbersOf(result.sum)).toEqual([2, 3, 4])
    expect(numbersOf(result.parts[0])).toEqual([5])
    expect(numbersOf(result.parts[1].get('x')!)).toEqual([7])
    expect(result.none).toBeUndefined()
  })

  it('may be one tensor, or nothing', () => {
    expect(numbersOf(compile((a: Tensor) => add(a, 1)).runSync(x))).toEqual([2, 3, 4])
    expect(numbersOf(compile(() => add(x, 1)).runSync({}))).toEqual([2, 3, 4])
    expect(compile(() => ({})).runSync({})).toEqual({})
  })

  it('are data as well as tensors, of their own dtype', () => {
    using program = compile(({ a }: { a: Tensor }) => a)
    for (const data of [Float32Array.of(1, 2), Float64Array.of(1, 2), Int32Array.of(1, 2)])
      expect(program.runSync({ a: data }).data()).toEqual(data)
    expect(program.runSync({ a: 5 }).item()).toBe(5)
  })

  it('are tensors of their own: results never share memory with inputs, captured tensors or each other', () => {
    const captured = tensor([4, 5, 6])
    using program = compile((a: Tensor) => [a, a, captured, ops.reshape(a, [3, 1]), ops.slice(a, 0, 1)])
    const results = program.runSync(x)
    for (const result of results) result.data().fill(0)
    expect([numbersOf(x), numbersOf(captured)]).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(program.runSync(x).map(numbersOf)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [4, 5, 6],
      [1, 2, 3],
      [2, 3],
    ])
  })

  it('are traced once per combination of shapes and dtypes', () => {
    let traced = 0
    using program = compile((a: Tensor) => {
      traced++
      expect(a.isTraced).toBe(true)
      return tanh(a)
    })
    for (const input of [x, tensor([7, 8, 9]), tensor([1]), x, tensor([[1]]), ops.cast(x, 'f64')])
      program.runSync(input)
    expect(traced).toBe(4)
  })

  it.each<[string, (inputs: any) => unknown, unknown, new (message: string) => Error, string]>([
    ['a string', (t) => t.a, { a: 'x' }, ArgumentError, 'run: expected tensors'],
    ['an array that is no data of a tensor', (t) => t.a, { a: new Uint8Array(2) }, ArgumentError, 'Uint8Array at a'],
    ['a class', (t) => t.a, { a: new Date(0) }, ArgumentError, 'got a Date at a'],
    ['a result that is a number', () => 5, {}, ArgumentError, 'should return tensors, got 5'],
    ['a result that is data', () => ({ y: Float32Array.of(1) }), {}, ArgumentError, 'at y'],
    ['a promise', async () => x, {}, ArgumentError, 'got a Promise'],
    ['a disposed input', (t) => t.a, { a: disposed() }, DisposedError, 'run: input a'],
    ['a disposed captured tensor', () => add(disposed(), 1), {}, DisposedError, 'add'],
    ['data of what is traced', (t) => t.a.data(), { a: x }, TraceError, 'return it from the function'],
    ['a shape that does not fit', (t) => matmul(t.a, t.a), { a: tensor.zeros([2, 3]) }, ShapeError, 'matmul'],
    [
      'an index out of range',
      (t) => ops.embedding(tensor.zeros([2, 2]), t.a),
      { a: Int32Array.of(2) },
      ExecutionError,
      'embedding',
    ],
  ])('refuses %s', async (_, fn, inputs, type, message) => {
    using program = compile(fn)
    expect(() => program.runSync(inputs as never)).toThrow(type)
    expect(() => program.runSync(inputs as never)).toThrow(message)
    await expect(program.run(inputs as never)).rejects.toThrow(type)
  })

  it('refuses tensors outside of the trace that they belong to, and runs inside of one', () => {
    let kept!: Tensor
    using first = compile((a: Tensor) => (kept = a))
    first.runSync(x)
    expect(() => add(kept, 1)).toThrow(TraceError)
    expect(() => compile((a: Tensor) => add(a, kept)).runSync(x)).toThrow('another compile() call')
    expect(() => compile((a: Tensor) => first.runSync(a)).runSync(x)).toThrow(ArgumentError)
    expect(numbersOf(add(x, 1))).toEqual([2, 3, 4])
  })

  it('refuses what is no function and unknown options', async () => {
    expect(() => compile(5 as never)).toThrow(ArgumentError)
    expect(() => compile(() => x, { row: {} } as never)).toThrow('did you mean rows?')
    using program = compile(() => x)
    await expect(program.run({}, { sgnal: 1 } as never)).rejects.toThrow('did you mean signal?')
  })
})

function disposed(): Tensor {
  const gone = tensor([1])
  gone.dispose()
  return gone
}

describe('a number of rows that differs from run to run', () => {
  it('is served by one program, with results of as many rows', () => {
    let traced = 0
    const weight = tensor.randn([3, 2], { seed: 1 })
    using program = compile(
      ({ a, b, scale }: { a: Tensor; b: Tensor; scale: Tensor }) => {
        traced++
        return { y: matmul(add(a, b), weight), total: multiply(sum(a), scale), same: scale }
      },
      { rows: { capacity: 6, inputs: ['a', 'b'] } },
    )
    for (const rows of [6, 1, 4, 0, 5]) {
      const [a, b] = [tensor.randn([rows, 3], { seed: 2 }), tensor.randn([rows, 3], { seed: 3 })]
      const { y, total, same } = program.runSync({ a, b, scale: 2 })
      expect(y.shape).toEqual([rows, 2])
      expect(y.data()).toEqual(matmul(add(a, b), weight).data())
      expect(total.item()).toBeCloseTo(2 * sum(a).item(), 5)
      expect(same.item()).toBe(2)
    }
    expect(traced).toBe(1)
  })

  it('is all that gradients of weights see, whatever earlier runs left behind', () => {
    type Given = { a: Tensor; targets: Tensor }
    const weight = tensor.randn([2, 3], { seed: 1 })
    const loss = ({ a, targets }: Given): Tensor => crossEntropy(matmul(tanh(a), transpose(weight)), targets)
    using program = compile((inputs: Given) => valueAndGrad(loss, { weight })(inputs), {
      rows: { capacity: 6, inputs: ['a', 'targets'] },
    })
    for (const rows of [6, 2, 5]) {
      const given = { a: tensor.randn([rows, 3], { seed: 2 }), targets: tensor.zeros([rows], { dtype: 'i32' }) }
      const { weight: gradient } = program.runSync(given).grads
      const { weight: expected } = valueAndGrad(loss, { weight })(given).grads
      expect(deviation(gradient.data(), expected.data())).toBeLessThan(1e-6)
    }
  })

  it('is at most the capacity, the same for all inputs, and follows inputs that exist', () => {
    type Rows = { a: Tensor; b: Tensor }
    using program = compile(({ a, b }: Rows) => add(a, b), { rows: { capacity: 2, inputs: ['a', 'b'] } })
    expect(() => program.runSync({ a: x, b: x })).toThrow('at most 2 rows')
    expect(() => program.runSync({ a: tensor([1]), b: tensor([1, 2]) })).toThrow(ArgumentError)
    expect(() => program.runSync({ a: 1, b: 1 })).toThrow(ArgumentError)
    using misnamed = compile(({ a }: Rows) => a, { rows: { capacity: 2, inputs: ['aa'] } })
    expect(() => misnamed.runSync({ a: x, b: x })).toThrow('rows names "aa", but the inputs are a, b')
    for (const rows of [{ capacity: 0, inputs: [] }, { capacity: 1, inputs: 'a' }, { capacity: 1 }])
      expect(() => compile(() => x, { rows } as never)).toThrow(ArgumentError)
  })
})

describe('state', () => {
  const cacheOf = (): { cache: Tensor; position: Tensor } => ({
    cache: tensor.zeros([1, 1, 3, 2]),
    position: tensor(1, { dtype: 'i32' }),
  })
  const row = tensor.ones([1, 1, 1, 2])
  const before = [0, 0, 0, 0, 0, 0]
  const after = [0, 0, 1, 1, 0, 0]

  it('is updated at each run, in place', async () => {
    const { cache, position } = cacheOf()
    using program = compile(({ value }: { value: Tensor }) =>
      sum(ops.cacheWrite(cache, multiply(row, value), position)),
    )
    expect(program.runSync({ value: 3 }).item()).toBe(6)
    expect(numbersOf(cache)).toEqual([0, 0, 3, 3, 0, 0])
    position.copyFrom([0])
    expect((await program.run({ value: 1 })).item()).toBe(8)
    expect(numbersOf(cache)).toEqual([1, 1, 3, 3, 0, 0])
  })

  it('is what it is at each place of the code: old before the update, new after it', () => {
    const { cache, position } = cacheOf()
    using program = compile(() => {
      const view = ops.reshape(cache, [-1])
      const kept = add(cache, 0)
      const updated = ops.cacheWrite(cache, row, position)
      return { view, part: ops.slice(view, 0, 2, 3), total: sum(view), kept, updated, now: cache, later: exp(cache) }
    })
    const { view, part, total, kept, updated, now, later } = program.runSync({})
    expect([numbersOf(view), numbersOf(part), total.item(), numbersOf(kept)]).toEqual([before, [0], 0, before])
    expect([numbersOf(updated), numbersOf(now), numbersOf(cache)]).toEqual([after, after, after])
    expect(numbersOf(later)).toEqual(numbersOf(exp(cache)))
  })

  it('is read through views before the update, wherever the code reads it', () => {
    const { cache, position } = cacheOf()
    using program = compile(() => {
      const view = ops.reshape(cache, [-1])
      ops.cacheWrite(cache, row, position)
      return sum(ops.slice(view, 0, 0, 6))
    })
    expect([program.runSync({}).item(), program.runSync({}).item()]).toEqual([0, 2])
  })

  it('is an error where old and new would be needed at once', () => {
    const { cache, position } = cacheOf()
    using program = compile(({ given }: { given: Tensor }) => add(given, ops.cacheWrite(given, row, position)))
    expect(() => program.runSync({ given: cache })).toThrow('cacheWrite changes a tensor in place')
  })

  it('of an optimizer is the same in a program as step by step', () => {
    const make = (): Record<'p' | 'm' | 'v', Tensor> => ({ p: tensor([1, -2]), m: tensor([0, 0]), v: tensor([0, 0]) })
    const rates = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 }
    const step = ({ p, m, v }: ReturnType<typeof make>, gradient: Tensor, count: Tensor): Tensor =>
      ops.adamWStep(p, { gradient, m, v, step: count, learningRate: tensor(0.1), ...rates })
    const [compiled, direct] = [make(), make()]
    using program = compile(({ gradient, count }: { gradient: Tensor; count: Tensor }) => {
      step(compiled, gradient, count)
      return compiled.p
    })
    for (let i = 1; i <= 3; i++) {
      const [gradient, count] = [tensor([i, 1 / i]), tensor(i, { dtype: 'i32' })]
      step(direct, gradient, count)
      expect(numbersOf(program.runSync({ gradient, count }))).toEqual(numbersOf(direct.p))
    }
    for (const name of ['p', 'm', 'v'] as const) expect(numbersOf(compiled[name])).toEqual(numbersOf(direct[name]))
  })
})

describe('the profile', () => {
  it('counts calls of each instruction while it is on', () => {
    using program = compile((a: Tensor) => sum(exp(a)))
    expect(program.profile()).toEqual([])
    program.runSync(x)
    expect(program.profile().map(({ instruction, calls }) => [instruction, calls])).toEqual([
      ['unary', 0],
      ['reduce', 0],
    ])
    program.setProfiling(true)
    for (let i = 0; i < 3; i++) program.runSync(x)
    expect(program.profile().map(({ calls }) => calls)).toEqual([3, 3])
    for (const { nanoseconds } of program.profile()) expect(nanoseconds).toBeGreaterThan(0)
    program.setProfiling(false)
    program.runSync(x)
    expect(program.profile().map(({ calls }) => calls)).toEqual([3, 3])
  })

  it('tells the operands with the rows of the latest run', () => {
    using program = compile(({ a }: { a: Tensor }) => exp(a), { rows: { capacity: 4, inputs: ['a'] } })
    program.runSync({ a: tensor([[1, 2]]) })
    const f32 = (...shape: number[]): object => ({ dtype: 'f32', shape })
    expect(program.profile().map(({ operands }) => operands)).toEqual([[f32(1, 2), f32(1, 2)]])
  })

  it('is taken of all programs that run meanwhile, and of no others', async () => {
    using first = compile((a: Tensor) => exp(a))
    using second = compile((a: Tensor) => sum(exp(a)))
    first.runSync(x)
    const profiles = await profileRuns(async () => {
      second.runSync(x)
      await first.run(x)
      second.runSync(x)
    })
    first.runSync(x)
    const calls = profiles.map((programs) => programs.map((entry) => [entry.instruction, entry.calls]))
    expect(calls).toEqual([[['unary', 2], ['reduce', 2]], [['unary', 1]]]) // prettier-ignore
    expect(first.profile().map((entry) => entry.calls)).toEqual([1])
  })

  it('ends when what is profiled fails', async () => {
    using program = compile((a: Tensor) => exp(a))
    const failing = profileRuns(() => {
      program.runSync(x)
      return Promise.reject(new Error('no'))
    })
    await expect(failing).rejects.toThrow('no')
    program.runSync(x)
    expect(program.profile().map((entry) => entry.calls)).toEqual([1])
  })
})
