import { describe, expect, expectTypeOf, it } from 'vitest'
import { ArgumentError, ShapeError, TraceError } from '../../lib/errors.ts'
import { compile, grad, nn, ops, tensor, valueAndGrad, type Parameter, type Tensor } from '../../lib/index.ts'
import { deviation } from '../reference/deviation.ts'

const { add, matmul, multiply, sum, square, tanh } = ops
const numbersOf = (x: Tensor): number[] => [...x.data()]
const w = tensor([1, -2, 3])
const v = tensor([0.5, 4, -1])

describe('the structure of gradients', () => {
  const loss = (): Tensor => sum(multiply(square(w), v))
  const [dw, dv] = [
    [1, -16, -6],
    [1, 4, 9],
  ]

  it('is that of what they are taken of', () => {
    const one = grad(loss, w)({})
    expectTypeOf(one).toEqualTypeOf<Tensor>()
    expect(numbersOf(one)).toEqual(dw)
    expect(grad(loss, [v, w])({}).map(numbersOf)).toEqual([dv, dw])
    const record = grad(loss, { v, w })({})
    expectTypeOf(record).toEqualTypeOf<{ v: Tensor; w: Tensor }>()
    expect([numbersOf(record.v), numbersOf(record.w)]).toEqual([dv, dw])
    const map = grad(loss, new Map([['w', w]]))({})
    expect([...map].map(([name, x]) => [name, numbersOf(x)])).toEqual([['w', dw]])
  })

  it('may be nested', () => {
    const { a, b } = grad(loss, { a: [w, { v }], b: new Map([['again', [w]]]) })({})
    expect(numbersOf(a[0] as Tensor)).toEqual(dw)
    expect(numbersOf((a[1] as { v: Tensor }).v)).toEqual(dv)
    expect(b.get('again')!.map(numbersOf)).toEqual([dw])
  })

  it('is a map of the trainable parameters that the loss used unless said', () => {
    const linear = new nn.Linear(3, 2)
    const unused = new nn.Linear(3, 2)
    const { value, grads } = valueAndGrad(({ x }: { x: Tensor }) => sum(linear.forward(x)))({
      x: ops.reshape(v, [1, 3]),
    })
    expectTypeOf(grads).toEqualTypeOf<Map<Parameter, Tensor>>()
    expect(value.size).toBe(1)
    expect([...grads.keys()]).toEqual([linear.weight, linear.bias])
    expect(grads.get(linear.weight)!.toArray()).toEqual([numbersOf(v), numbersOf(v)])
    expect(grads.has(unused.weight)).toBe(false)
  })

  it('refuses what is no tensor', () => {
    for (const wrong of [5, 'w', new nn.Linear(1, 1), [w, 5], { a: { b: 'c' } }, Float32Array.of(1)])
      expect(() => grad(loss, wrong as never)({})).toThrow(ArgumentError)
    expect(() => grad(5 as never, w)).toThrow(ArgumentError)
  })
})

it('the value comes with the gradients', () => {
  const { value, grads } = valueAndGrad(({ x }: { x: Tensor }) => sum(multiply(x, w)), { w })({ x: v })
  expect(value.item()).toBe(0.5 - 8 - 3)
  expect(numbersOf(grads.w)).toEqual(numbersOf(v))
})

it('gradients by inputs are taken inside of what is compiled', () => {
  using program = compile(({ x, y }: { x: Tensor; y: Tensor }) => grad(() => sum(multiply(square(x), y)), { x, y })({}))
  const { x, y } = program.runSync({ x: w, y: v })
  expect([numbersOf(x), numbersOf(y)]).toEqual([
    [1, -16, -6],
    [1, 4, 9],
  ])
})

describe('what the loss does not depend on', () => {
  it('has the gradient zero, of its own shape and dtype', () => {
    const unused = tensor.randn([2, 2], { dtype: 'f64' })
    const gradients = grad(() => sum(w), { w, unused })({})
    expect(gradients.unused.toArray()).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(gradients.unused.dtype).toBe('f64')
    expect(grad(() => sum(w), { unused })({}).unused.shape).toEqual([2, 2])
  })

  it('includes what only comparisons, indices and detours of zero gradient see', () => {
    const gradients = grad(() => add(sum(ops.multiply(ops.sign(w), v)), sum(multiply(w, 0))), { w })({})
    expect(numbersOf(gradients.w)).toEqual([0, 0, 0])
  })

  it('is an error when it is the loss itself', () => {
    expect(() => grad(() => tensor(1), { w })({})).toThrow(TraceError)
    expect(() => grad(() => 5 as never, { w })({})).toThrow(ArgumentError)
    expect(() => grad(() => square(w), { w })({})).toThrow(ShapeError)
    expect(() => grad(() => square(w), { w })({})).toThrow('the loss should be one number, got shape [3]')
    expect(() => grad(() => ops.greater(sum(w), 0), { w })({})).toThrow('greater has no gradient')
    const q = tensor.randn([1, 1, 3, 4], { seed: 1 })
    const probabilities = (): Tensor => ops.attentionWithProbabilities(q, q, q).probabilities
    expect(() => grad(() => sum(square(probabilities())), { q })({})).toThrow(
      new TraceError(
        'grad: the probabilities that attention gives have no gradient, only its output has; make them with softmax(matmul(q, k)) to differentiate them',
      ),
    )
  })
})

describe('shared subexpressions', () => {
  /** By central differences in f64. */
  function expectGradient(loss: (x: Tensor) => Tensor): void {
    const x = tensor.randn([3, 4], { seed: 1, dtype: 'f64' })
    const actual = grad(() => loss(x), { x })({}).x
    const expected = Array.from(x.data(), (_, i) => {
      const at = (step: number): number => {
        const moved = tensor(x.data().slice(), { shape: x.shape })
        moved.data()[i]! += step
        return loss(moved).item()
      }
      return (at(1e-5) - at(-1e-5)) / 2e-5
    })
    expect(deviation(actual.data(), expected)).toBeLessThan(1e-8)
  }

  it.each<[string, (x: Tensor) => Tensor]>([
    ['a value used twice', (x) => sum(multiply(tanh(x), tanh(x)))],
    ['the same operand twice', (x) => sum(tanh(multiply(x, x)))],
    ['a product with its own transpose', (x) => sum(tanh(matmul(x, ops.transpose(x))))],
    ['a diamond', (x) => [tanh(x)].map((y) => sum(multiply(add(y, square(y)), ops.exp(y))))[0]!],
    ['parts of one value', (x) => sum(ops.split(tanh(x), 2).reduce((a, b) => multiply(a, b)))],
    ['a part and the whole', (x) => add(sum(square(ops.slice(x, 1, 1, 3))), sum(tanh(x)))],
    [
      'a value beside itself',
      (x) => sum(tanh(matmul(ops.concat([x, square(x)], 1), ops.transpose(ops.concat([x, x], 1))))),
    ],
    ['a stretched value', (x) => sum(multiply(ops.broadcastTo(ops.slice(x, 0, 0, 1), [3, 4]), tanh(x)))],
    [
      'many uses',
      (x) =>
        Array.from({ length: 20 })
          .reduce<Tensor>((y) => add(tanh(y), multiply(x, 0.1)), x)
          .sum(),
    ],
  ])('%s', (_, loss) => expectGradient(loss))
})

describe('the gradient of a gradient', () => {
  const third = (x: Tensor): Tensor => sum(multiply(multiply(x, x), x))

  it('is there where every gradient rule is made of operations that have one', () => {
    const second = grad(() => sum(grad(() => third(w), w)({})), w)
    expect(numbersOf(second({}))).toEqual([6, -12, 18])
    const dot = (): Tensor => matmul(ops.reshape(w, [1, 3]), ops.reshape(v, [3, 1]))
    const hessianTimes = grad(() => sum(multiply(grad(() => sum(multiply(dot(), dot())), w)({}), v)), w)
    // d/dw (2 (w·v) v·v) = 2 (v·v) v
    expect(deviation(hessianTimes({}).data(), [17.25, 138, -34.5])).toBeLessThan(1e-6)
  })

  it('is an error that names the operation where there is none', () => {
    expect(() => grad(() => sum(grad(() => sum(tanh(w)), w)({})), w)({})).toThrow(
      new TraceError('grad: unaryGradient has no gradient'),
    )
  })
})
