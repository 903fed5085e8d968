import { describe, expect, it } from 'vitest'
import {
  ArgumentError,
  compile,
  DisposedError,
  DTypeError,
  ExecutionError,
  HeedfulError,
  liveBytes,
  ops,
  ShapeError,
  tensor,
  TraceError,
  type Tensor,
} from '../../lib/index.ts'
import { detached } from './kinds.ts'

type Inputs = { x: Tensor; y: Tensor }
const sum = ({ x, y }: Inputs): Tensor => ops.add(x, y)
/** Long enough to be under way when something happens to it. */
const long = ({ x }: { x: Tensor }): Tensor => {
  for (let i = 0; i < 40; i++) x = ops.matmul(x, x)
  return x
}
const big = tensor.zeros([512, 512])

const disposed = (): Tensor => {
  const t = tensor([1, 2])
  t.dispose()
  return t
}
const cyclic: Record<string, unknown> = {}
cyclic['x'] = cyclic

/** Inputs that a program of x and y does not take. */
const wrongInputs: readonly (readonly [
  name: string,
  inputs: unknown,
  error: new (message: string) => Error,
  message: string,
])[] = [
  ['one too few', { x: tensor([1]) }, ArgumentError, 'add: b should be a tensor, got undefined'],
  [
    'one that is undefined',
    { x: tensor([1]), y: undefined },
    ArgumentError,
    'add: b should be a tensor, got undefined',
  ],
  ['one that is null', { x: tensor([1]), y: null }, ArgumentError, 'add: b should be a tensor, got null'],
  [
    'a string',
    { x: tensor([1]), y: 'x' },
    ArgumentError,
    'run: expected tensors, typed arrays or numbers (in objects, arrays or maps), got "x" at y',
  ],
  ['a bigint', { x: 7n, y: 1 }, ArgumentError, 'run: expected tensors'],
  ['a symbol', { x: Symbol('s'), y: 1 }, ArgumentError, 'got a symbol at x'],
  ['an array of strings', { x: ['1'], y: 1 }, ArgumentError, 'at x[0]'],
  ['a date', { x: new Date(), y: 1 }, ArgumentError, 'got a Date at x'],
  ['a typed array of another kind', { x: new Uint8Array(2), y: 1 }, ArgumentError, 'got an Uint8Array at x'],
  ['nested where a tensor is expected', { x: { x: 1 }, y: 1 }, ArgumentError, 'add: a should be a tensor'],
  ['an object that contains itself', { x: cyclic, y: 1 }, ArgumentError, 'run: expected at most'],
  [
    'shapes that do not fit',
    { x: tensor([1, 2]), y: tensor([1, 2, 3]) },
    ShapeError,
    'add: shapes [2] and [3] do not broadcast',
  ],
  [
    'dtypes that do not fit',
    { x: tensor([1]), y: Int32Array.of(1) },
    DTypeError,
    'add: b should be f32 or f64, got i32',
  ],
  [
    'mixed dtypes',
    { x: tensor([1]), y: Float64Array.of(1) },
    DTypeError,
    'add: operands should have one dtype, got f32 and f64',
  ],
  ['a disposed tensor', { x: disposed(), y: 1 }, DisposedError, 'run: input x: this tensor [2] was disposed'],
  [
    'detached memory',
    { x: detached(Float32Array.of(1)), y: 1 },
    ArgumentError,
    'run: input x: the memory of this Float32Array is detached',
  ],
]

describe('a program', () => {
  it.each(wrongInputs)('refuses as input %s', async (_, inputs, error, message) => {
    using program = compile(sum)
    expect(() => program.runSync(inputs as never)).toThrow(error)
    expect(() => program.runSync(inputs as never)).toThrow(message)
    await expect(program.run(inputs as never)).rejects.toThrow(message)
    // It is as good as before.
    using result = program.runSync({ x: 1, y: 2 })
    expect(result.item()).toBe(3)
  })

  it.each([
    ['null', null],
    ['an AbortController', new AbortController()],
    ['a name', 'signal'],
    ['a lookalike', { aborted: true }],
  ])('refuses as signal %s', async (_, signal) => {
    using program = compile(sum)
    await expect(program.run({ x: 1, y: 2 }, { signal } as never)).rejects.toThrow(ArgumentError)
    await expect(program.run({ x: 1, y: 2 }, { signal } as never)).rejects.toThrow(
      'run: signal should be an AbortSignal',
    )
  })

  it('rejects with the reason of a signal that is aborted already, and does nothing', async () => {
    const target = tensor([0])
    using program = compile(() => target.add(1))
    const reason = new Error('enough')
    await expect(program.run(undefined as never, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(program.run(undefined as never, { signal: AbortSignal.abort() })).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    )
  })

  it('refuses to run after dispose(), also with other shapes; a second dispose() does nothing', async () => {
    const program = compile(sum)
    program.runSync({ x: 1, y: 2 }).dispose()
    program.dispose()
    program.dispose()
    for (const inputs of [
      { x: 1, y: 2 },
      { x: tensor([1]), y: 2 },
    ]) {
      expect(() => program.runSync(inputs)).toThrow(DisposedError)
      await expect(program.run(inputs)).rejects.toThrow('run: this compiled function was disposed')
    }
    expect(program.memoryBytes).toBe(0)
    expect(program.profile()).toEqual([])
    expect(program.instructions).toEqual([])
    program.setProfiling(true)
    expect(() => program.setProfiling('yes' as never)).toThrow(ArgumentError)
  })

  it('runs as often at the same time as one wants', async () => {
    using program = compile(sum)
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) => program.run({ x: i, y: Float32Array.of(10) })),
    )
    expect(results.map((result) => result.data()[0])).toEqual([10, 11, 12, 13, 14, 15, 16, 17])
  })

  it('finishes what is under way when it, its inputs or what it captured are disposed', async () => {
    const captured = tensor.ones([2])
    const x = tensor([1, 2])
    const blocking = compile(long)
    const program = compile(({ x }: { x: Tensor }) => x.add(captured))
    const first = blocking.run({ x: big })
    const second = program.run({ x })
    blocking.dispose()
    program.dispose()
    x.dispose()
    captured.dispose()
    await first
    expect([...(await second).data()]).toEqual([2, 3])
  })

  it('refuses to start when something that it captured was disposed', async () => {
    const captured = tensor([1])
    using program = compile(({ x }: { x: Tensor }) => x.add(captured))
    program.runSync({ x: tensor([1]) }).dispose()
    captured.dispose()
    expect(() => program.runSync({ x: tensor([1]) })).toThrow(DisposedError)
    await expect(program.run({ x: tensor([2]) })).rejects.toThrow('run: this tensor [1] was disposed')
    expect(() => program.runSync({ x: tensor([1, 2]) })).toThrow('add: this tensor [1] was disposed')
  })

  it('gives the memory of a failed run back', () => {
    using program = compile(({ ids }: { ids: Tensor }) => ops.embedding(big, ids))
    const ids = tensor(Int32Array.of(512))
    expect(() => program.runSync({ ids })).toThrow(ExecutionError)
    const before = liveBytes()
    for (let i = 0; i < 20; i++) expect(() => program.runSync({ ids })).toThrow('embedding')
    expect(liveBytes()).toBe(before)
  })

  it.each([
    ['nothing', () => undefined, undefined],
    ['a number', () => 7, 'should return tensors, got 7'],
    ['a string', () => ({ a: 'x' }), 'got "x" at a'],
    ['a promise', async () => tensor([1]), 'got a Promise'],
    ['a function', () => () => 1, 'got function'],
  ])('traces no function that gives %s', (_, fn, message) => {
    using program = compile(fn as never)
    if (message === undefined) expect(program.runSync({})).toBeUndefined()
    else expect(() => program.runSync({})).toThrow(message)
  })

  it('passes on what the traced function throws, and runs the next time', () => {
    let fails = true
    using program = compile(({ x }: { x: Tensor }) => {
      if (fails) throw new RangeError('mine')
      return x.add(1)
    })
    expect(() => program.runSync({ x: 1 })).toThrow(RangeError)
    fails = false
    expect(program.runSync({ x: 1 }).item()).toBe(2)
  })

  it.each([
    ['reading data', (x: Tensor) => x.data()],
    ['an item', (x: Tensor) => ops.sum(x).item()],
    ['an array', (x: Tensor) => x.toArray()],
    ['overwriting', (x: Tensor) => x.copyFrom([1])],
    ['running another program', (x: Tensor) => compile(sum).runSync({ x, y: x })],
  ])('says why %s is impossible while it is traced', (_, use) => {
    using program = compile(({ x }: { x: Tensor }) => (use(x), x))
    expect(() => program.runSync({ x: tensor([1]) })).toThrow(HeedfulError)
    expect(() => program.runSync({ x: tensor([1]) })).toThrow(/traced/)
  })

  it('refuses tensors of another trace', () => {
    let leaked: Tensor | undefined
    compile(({ x }: { x: Tensor }) => (leaked = x)).runSync({ x: tensor([1]) })
    using program = compile(({ x }: { x: Tensor }) => x.add(leaked!))
    expect(() => program.runSync({ x: tensor([1]) })).toThrow(TraceError)
    expect(() => leaked!.add(1)).toThrow(TraceError)
    expect(() => compile(() => leaked!).runSync({})).toThrow('compile: a tensor of another compile() call was used')
    expect(() => program.runSync({ x: leaked! })).toThrow(TraceError)
  })

  it('refuses rows beyond the capacity, of different number, and of inputs that are not there', () => {
    using program = compile(sum, { rows: { capacity: 3, inputs: ['x', 'y'] } })
    expect(() => program.runSync({ x: tensor.ones([4]), y: tensor.ones([4]) })).toThrow('at most 3 rows')
    expect(() => program.runSync({ x: tensor.ones([2]), y: tensor.ones([3]) })).toThrow('expected 2 rows, got 3')
    expect(() => program.runSync({ x: 1, y: tensor.ones([3]) })).toThrow(ArgumentError)
    using misnamed = compile(sum, { rows: { capacity: 3, inputs: ['z'] } })
    expect(() => misnamed.runSync({ x: tensor([1]), y: tensor([1]) })).toThrow(
      'compile: rows names "z", but the inputs are x, y',
    )
  })
})

describe('a tensor whose memory was transferred', () => {
  it('says so', () => {
    const t = tensor([1, 2])
    const buffer = t.data().buffer as ArrayBuffer & { transfer?: () => ArrayBuffer }
    if (!buffer.transfer) return
    buffer.transfer()
    for (const read of [() => t.data(), () => t.toArray(), () => t.copyFrom([1, 2])])
      expect(read).toThrow(ExecutionError)
    t.dispose()
  })
})
