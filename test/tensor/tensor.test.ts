import { describe, expect, expectTypeOf, it } from 'vitest'
import { ArgumentError, DTypeError, ExecutionError, ShapeError } from '../../lib/errors.ts'
import { cast } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { dtypes } from '../../lib/tensor/dtype.ts'
import { broadcastShapes, contiguousStrides, isContiguous, sizeOf } from '../../lib/tensor/shape.ts'
import type { NestedNumbers, Tensor } from '../../lib/tensor/tensor.ts'

describe('a tensor', () => {
  it.each<[NestedNumbers, number[]]>([
    [5, []],
    [[], [0]],
    [[1, 2, 3], [3]],
    [
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      [3, 2],
    ],
    [
      [[], []],
      [2, 0],
    ],
    [[[[[[1]]]]], [1, 1, 1, 1, 1]],
  ])('of %j has the shape %j, and gives it back', (data, shape) => {
    const x = tensor(data)
    expect([x.shape, x.dtype, x.rank, x.size]).toEqual([shape, 'f32', shape.length, sizeOf(shape)])
    expect(x.toArray()).toEqual(data)
    expect(tensor(data, { dtype: 'i32' }).toArray()).toEqual(data)
  })

  it('of a typed array has its dtype, and copies it', () => {
    for (const data of [Float32Array.of(1, 2), Float64Array.of(1, 2), Int32Array.of(1, 2)]) {
      const x = tensor(data, { shape: [2, 1] })
      expect(x.data()).toEqual(data)
      expect(x.toArray()).toEqual([[1], [2]])
      data[0] = 9
      expect(x.data()[0]).toBe(1)
    }
    expectTypeOf(tensor(Int32Array.of(1))).toEqualTypeOf<Tensor<'i32'>>()
    expectTypeOf(tensor([1])).toEqualTypeOf<Tensor<'f32'>>()
    expectTypeOf(tensor([1], { dtype: 'f64' }).data()).toEqualTypeOf<Float64Array>()
    expect(tensor(new Float64Array([1, 2, 3]).subarray(1)).toArray()).toEqual([2, 3])
  })

  it('converts numbers to its dtype', () => {
    expect([...tensor([0.1, -1.9, 2 ** 24 + 1, NaN, -0]).data()]).toEqual([
      Math.fround(0.1),
      Math.fround(-1.9),
      2 ** 24,
      NaN,
      -0,
    ])
    expect([...tensor([0.1, 1e300], { dtype: 'f64' }).data()]).toEqual([0.1, 1e300])
    expect([...tensor([1.9, -1.9, 2 ** 31 - 1], { dtype: 'i32' }).data()]).toEqual([1, -1, 2 ** 31 - 1])
    expect(tensor(Float64Array.of(0.1), { dtype: 'f32' }).item()).toBe(Math.fround(0.1))
    expect(tensor([1e300]).item()).toBe(Infinity)
  })

  it('is filled as it is told', () => {
    expect(tensor.zeros([2, 2]).toArray()).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(tensor.ones([2], { dtype: 'i32' }).data()).toEqual(Int32Array.of(1, 1))
    expect(tensor.full([2], 0.1, { dtype: 'f64' }).toArray()).toEqual([0.1, 0.1])
    expect(tensor.full([], 7).item()).toBe(7)
    expect(tensor.arange(4).data()).toEqual(Int32Array.of(0, 1, 2, 3))
    expect(tensor.arange(3, { dtype: 'f32' }).data()).toEqual(Float32Array.of(0, 1, 2))
    expect(tensor.arange(0).shape).toEqual([0])
  })

  it('has data that is a view, not a copy', () => {
    const x = tensor([[1, 2]])
    x.data()[1] = 7
    expect(x.toArray()).toEqual([[1, 7]])
    expect(x.data().buffer).toBe(x.data().buffer)
  })

  it('is overwritten by copyFrom, converted, and by nothing of another size', () => {
    const x = tensor([[1, 2]])
    expect(x.copyFrom([3, 4])).toBe(x)
    expect(x.toArray()).toEqual([[3, 4]])
    x.copyFrom(tensor([[5, 6]], { dtype: 'i32' }))
    expect(x.toArray()).toEqual([[5, 6]])
    expect(() => x.copyFrom(tensor([5, 6]))).toThrow('copyFrom: expected shape [1, 2], got [2]')
    expect(() => x.copyFrom([1])).toThrow('copyFrom: expected 2 elements for shape [1, 2], got 1')
    expect(x.toArray()).toEqual([[5, 6]])
  })

  it('of one element has an item', () => {
    expect([tensor(3).item(), tensor([[4]]).item()]).toEqual([3, 4])
    for (const many of [tensor([1, 2]), tensor([])]) expect(() => many.item()).toThrow(ShapeError)
  })

  it('says what it is', () => {
    expect(String(tensor.zeros([2, 3], { dtype: 'i32' }))).toBe('Tensor i32 [2, 3]')
    expect(Object.isFrozen(tensor([1]).shape)).toBe(true)
  })
})

describe('dtypes are converted', () => {
  const values = [0, -1.5, 2.5, 1e6, -3]
  it.each(dtypes.flatMap((from) => dtypes.map((to) => [from, to] as const)))('from %s to %s', (from, to) => {
    const x = tensor(values, { dtype: from })
    const y = cast(x, to)
    expect(y.dtype).toBe(to)
    const exact = (x.toArray() as number[]).map((value) => (to === 'i32' ? Math.trunc(value) || 0 : value))
    expect(y.toArray()).toEqual(to === 'bf16' ? tensor(exact, { dtype: 'bf16' }).toArray() : exact)
  })
})

describe('bf16', () => {
  it('holds the nearest numbers with 8 bits, half way the even one', () => {
    const numbers = [
      1,
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      1 + 2 ** -8 + 2 ** -40,
      1 + 2 ** -8 - 2 ** -40,
      -1.005,
      2 ** -133,
      3.4e38,
    ]
    const x = tensor(numbers, { dtype: 'bf16' })
    expect(x.toArray()).toEqual([1, 1, 1 + 2 ** -6, 1 + 2 ** -7, 1, -1.0078125, 2 ** -133, Infinity])
    expect(tensor([NaN, -0, Infinity], { dtype: 'bf16' }).toArray()).toEqual([NaN, -0, Infinity])
    // What the addon rounds is the same.
    expect(cast(tensor(Float64Array.from(numbers)), 'bf16').data()).toEqual(x.data())
  })

  it('is made of bits, and gives them', () => {
    const x = tensor(Uint16Array.of(0x3f80, 0xc000), { dtype: 'bf16', shape: [2, 1] })
    expect(x.toArray()).toEqual([[1], [-2]])
    expect(x.data()).toEqual(Uint16Array.of(0x3f80, 0xc000))
    expectTypeOf(x.data()).toEqualTypeOf<Uint16Array>()
    expect(tensor.full([], 2.5, { dtype: 'bf16' }).item()).toBe(2.5)
    expect(tensor.zeros([2, 1]).copyFrom(x).toArray()).toEqual([[1], [-2]])
    expect(tensor.zeros([2, 1], { dtype: 'bf16' }).copyFrom(x).toArray()).toEqual([[1], [-2]])
    expect(tensor.zeros([2], { dtype: 'bf16' }).copyFrom([3, 0.1]).toArray()).toEqual([3, 0.10009765625])
    expect(() => tensor(Uint16Array.of(1) as never)).toThrow(DTypeError)
  })
})

describe('refused', () => {
  it.each<[string, () => unknown, new (message: string) => Error, string]>([
    ['what is no data', () => tensor('1' as never), ArgumentError, 'got "1"'],
    ['nothing', () => tensor(undefined as never), ArgumentError, 'got undefined'],
    ['a string inside', () => tensor([1, ['2'] as never]), ArgumentError, 'expected a number at [1]'],
    ['null inside', () => tensor([[1], [null as never]]), ArgumentError, 'at [1][0], got null'],
    ['ragged arrays', () => tensor([[1, 2], [3]]), ShapeError, 'expected 2 elements at [1]'],
    ['arrays beside numbers', () => tensor([[1], 2]), ShapeError, 'must be rectangular'],
    ['a rank of 7', () => tensor([[[[[[[1]]]]]]]), ShapeError, 'rank of at most 6'],
    ['other typed arrays', () => tensor(new Uint8Array(2) as never), DTypeError, 'Int32Array'],
    ['a data view', () => tensor(new DataView(new ArrayBuffer(4)) as never), DTypeError, 'DataView'],
    ['another dtype', () => tensor([1], { dtype: 'f16' as never }), DTypeError, 'f32, f64, i32'],
    ['a shape of another size', () => tensor([1, 2], { shape: [3] }), ShapeError, 'holds 3 elements, got 2'],
    ['a negative dimension', () => tensor.zeros([-1]), ShapeError, 'whole numbers'],
    ['a fraction of a dimension', () => tensor.zeros([1.5]), ShapeError, 'whole numbers'],
    ['NaN as a dimension', () => tensor.ones([NaN]), ShapeError, 'whole numbers'],
    ['a shape that is a number', () => tensor.zeros(3 as never), ShapeError, 'got 3'],
    ['a size beyond counting', () => tensor.zeros([2 ** 40, 2 ** 40]), ShapeError, 'too large'],
    ['a size beyond memory', () => tensor.zeros([2 ** 45]), ExecutionError, 'takes 140737488355328 bytes'],
    ['an unknown option', () => tensor.zeros([1], { dtyp: 'f32' } as never), ArgumentError, 'did you mean dtype?'],
    ['a value that is no number', () => tensor.full([1], '1' as never), ArgumentError, 'tensor.full'],
    ['a range that is none', () => tensor.arange(-1), ArgumentError, 'tensor.arange'],
  ])('is %s', (_, make, type, message) => {
    expect(make).toThrow(type)
    expect(make).toThrow(message)
  })
})

describe('shapes', () => {
  it('have row-major strides', () => {
    expect(contiguousStrides([2, 3, 4])).toEqual([12, 4, 1])
    expect(contiguousStrides([])).toEqual([])
    expect(isContiguous([2, 1, 4], [4, 99, 1])).toBe(true)
    expect(isContiguous([2, 4], [1, 2])).toBe(false)
  })

  it('broadcast as in NumPy', () => {
    expect(broadcastShapes('test', [2, 1, 4], [3, 1])).toEqual([2, 3, 4])
    expect(broadcastShapes('test', [], [0, 2])).toEqual([0, 2])
    expect(broadcastShapes('test', [0], [1])).toEqual([0])
    for (const [a, b] of [
      [[2], [3]],
      [[0], [2]],
      [
        [2, 3],
        [2, 1, 2],
      ],
    ] as const)
      expect(() => broadcastShapes('test', a, b)).toThrow(ShapeError)
  })
})
