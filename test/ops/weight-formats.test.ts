import { afterAll, describe, expect, it } from 'vitest'
import { ops, ShapeError, tensor, type Tensor } from '../../lib/index.ts'
import { runtime } from '../../lib/runtime.ts'
import { Random } from '../../lib/tensor/random.ts'

const before = runtime.isa()
afterAll(() => runtime.setIsa(before))

const f32 = Math.fround
const random = new Random(11)
const matrix = (rows: number, columns: number): Tensor =>
  tensor(
    Float32Array.from({ length: rows * columns }, () => random.normal()),
    { shape: [rows, columns] },
  )

/** The nearest number of 11 significant bits, halfway to even; denormal below 2⁻¹⁴, infinite from 65520. */
function toF16(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x
  const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10)
  const [low, rest] = [Math.floor(x / unit), x / unit - Math.floor(x / unit)]
  const nearest = unit * (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low)
  return Math.abs(nearest) > 65504 ? Math.sign(x) * Infinity : nearest
}
const awayFromZero = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5)

/** Where it is infinite the scale is 0 in f16, and what GGML does not defined. */
const inverseOf = (scale: number): number => (scale && Number.isFinite(f32(1 / scale)) ? f32(1 / scale) : 0)

/** GGML's rounding of a block, step by step in f32: quantize_row_q8_0_ref and quantize_row_q4_0_ref. */
const ggml = {
  q8_0(x: readonly number[]): number[] {
    const scale = f32(Math.max(...x.map(Math.abs)) / 127)
    const inverse = inverseOf(scale)
    return x.map((value) => awayFromZero(f32(value * inverse)) * toF16(scale))
  },
  q4_0(x: readonly number[]): number[] {
    const most = Math.max(...x.map(Math.abs))
    const scale = f32(x.find((value) => Math.abs(value) === most)! / -8)
    const inverse = inverseOf(scale)
    return x.map((value) => (Math.min(15, Math.trunc(f32(f32(value * inverse) + 8.5))) - 8) * toF16(scale))
  },
}

const columnOf = (w: Tensor, j: number): number[] => {
  const [k, n] = w.shape as [number, number]
  return Array.from({ length: k }, (_, i) => w.data()[i * n + j]!)
}
const plusZero = (x: ArrayLike<number>): number[] => Array.from(x, (value) => value + 0)

describe('numbers of packed matrices', () => {
  const blocks: Readonly<Record<string, (i: number) => number>> = {
    'normal numbers': () => f32(random.normal()),
    'whole numbers, many of them halfway': (i) => ((i * 37) % 255) / 2 - 63.5,
    'the largest twice, with both signs': (i) => (i % 2 ? 8 : -8) * (i % 16 < 2 ? 1 : 0.1),
    zeros: () => 0,
    'scales that are denormal in f16': () => f32(random.normal() * 1e-4),
    'scales that are 0 in f16': () => f32(random.normal() * 1e-8),
    'denormal numbers': (i) => f32(i * 2 ** -149),
    'large numbers': () => f32(random.normal() * 1e5),
  }
  it.each(Object.keys(blocks).flatMap((name) => (['q8_0', 'q4_0'] as const).map((format) => ({ name, format }))))(
    '$format holds those of GGML: $name',
    ({ name, format }) => {
      for (const k of [32, 64, 50, 1]) {
        const w = tensor(
          Float32Array.from({ length: k * 3 }, (_, i) => blocks[name]!(i)),
          { shape: [k, 3] },
        )
        const held = ops.dequantize(ops.quantize(w, format), 'f64')
        for (let j = 0; j < 3; j++) {
          const column = columnOf(w, j)
          const expected: number[] = []
          for (let i = 0; i < k; i += 32) {
            const block = column.slice(i, i + 32)
            expected.push(
              ...ggml[format]([...block, ...Array<number>(32 - block.length).fill(0)]).slice(0, block.length),
            )
          }
          expect(plusZero(columnOf(held, j))).toEqual(plusZero(expected))
        }
      }
    },
  )

  it('f16 are the nearest', () => {
    const x = [
      1,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      65504,
      65519,
      65520,
      -1e9,
      2 ** -24,
      2 ** -25,
      1.5 * 2 ** -25,
      1e-6,
      Infinity,
    ]
    const held = ops.dequantize(ops.quantize(tensor([x]), 'f16')).data()
    expect(plusZero(held)).toEqual(plusZero(x.map((value) => toF16(f32(value)))))
    expect(ops.dequantize(ops.quantize(tensor([[NaN]]), 'f16')).data()).toEqual(Float32Array.of(NaN))
  })

  it('int8 have a scale for each column: 127 levels of its largest number on each side, half a level off at most', () => {
    const w = matrix(301, 37)
    const held = ops.dequantize(ops.quantize(w, 'int8'), 'f64')
    for (let j = 0; j < 37; j++) {
      const column = columnOf(w, j)
      const level = Math.max(...column.map(Math.abs)) / 127
      for (const [i, value] of columnOf(held, j).entries()) {
        expect(Math.abs(value - column[i]!)).toBeLessThanOrEqual(level * (0.5 + 2 ** -8))
        expect(value).toBe(f32(value))
      }
    }
  })

  it.each(['int8', 'q8_0', 'q4_0'] as const)('%s: what is not finite makes all that shares its scale NaN', (format) => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const w = tensor.ones([64, 3])
      w.data()[3 * 40 + 1] = bad
      const held = ops.dequantize(ops.quantize(w, format)).data()
      for (let i = 0; i < 64; i++)
        for (let j = 0; j < 3; j++)
          expect(Number.isNaN(held[3 * i + j]!)).toBe(j === 1 && (format === 'int8' || i >= 32))
    }
  })

  it('int8 takes no more rows than its sums have bits for', () => {
    const tall = tensor.zeros([131073, 1])
    expect(() => ops.quantize(tall, 'int8')).toThrow(ShapeError)
    expect(() => ops.quantize(tall, 'int8')).toThrow('q8_0 takes any number')
    const x = tensor(new Float32Array(131072).fill(-2), { shape: [1, 131072] })
    const y = ops.matmul(x, ops.quantize(tensor(new Float32Array(131072).fill(3), { shape: [131072, 1] }), 'int8'))
    expect(y.data()[0]! / (-6 * 131072)).toBeCloseTo(1, 4)
  })
})

/** The left operand as integer formats round it, in f32: nearest even, a scale for `block` numbers of a row. */
function roundedLeft(x: Tensor, block: number): Tensor {
  const [m, k] = x.shape as [number, number]
  const y = new Float64Array(m * k)
  for (let i = 0; i < m; i++)
    for (let begin = 0; begin < k; begin += block) {
      const part = x.data().subarray(i * k + begin, i * k + Math.min(k, begin + block))
      const most = Math.max(...Array.from(part, Math.abs))
      const [scale, inverse] = [f32(most / 127), f32(127 / most)]
      for (const [at, value] of part.entries()) {
        const scaled = f32(value * inverse)
        const below = Math.floor(scaled)
        const level = scaled - below === 0.5 ? below + (below & 1) : Math.round(scaled)
        y[i * k + begin + at] = level * scale
      }
    }
  return tensor(y, { shape: [m, k] })
}

describe.each(runtime.availableIsas())('products on %s', (isa) => {
  const x = matrix(37, 801)
  const weight = matrix(801, 70)
  const exact = ops.matmul(ops.cast(x, 'f64'), ops.cast(weight, 'f64')).data()
  const error = (actual: ArrayLike<number>, expected: ArrayLike<number>): number => {
    const squares = (of: (i: number) => number): number =>
      Array.from(expected, (_, i) => of(i) ** 2).reduce((sum, square) => sum + square, 0)
    return Math.sqrt(squares((i) => actual[i]! - expected[i]!) / squares((i) => expected[i]!))
  }

  it.each([
    ['f16', 1.5e-4, 3e-4],
    ['int8', 8e-3, 1.3e-2],
    ['q8_0', 5e-3, 9e-3],
    ['q4_0', 7e-2, 1e-1],
  ] as const)('by %s are off by as much as is documented', (format, least, most) => {
    runtime.setIsa(isa)
    const actual = ops.matmul(x, ops.quantize(weight, format)).data()
    expect(error(actual, exact)).toBeGreaterThan(least)
    expect(error(actual, exact)).toBeLessThan(most)
  })

  it.each([
    ['int8', Infinity],
    ['q8_0', 32],
    ['q4_0', 32],
  ] as const)('by %s are exact but for the rounding of both operands', (format, block) => {
    runtime.setIsa(isa)
    const left = roundedLeft(x, Math.min(block, 801))
    const packed = ops.quantize(weight, format)
    const expected = ops.matmul(left, ops.dequantize(packed, 'f64')).data()
    for (const rows of [37, 1]) {
      const actual = ops.matmul(ops.slice(x, 0, 0, rows), packed).data()
      expect(error(actual, expected.subarray(0, rows * 70))).toBeLessThan(4e-7)
    }
  })

  it('by int8 have the bits of every other instruction set: their sums are exact', () => {
    const product = (): unknown => ops.matmul(x, ops.quantize(weight, 'int8')).data()
    runtime.setIsa('scalar')
    const expected = product()
    runtime.setIsa(isa)
    expect(product()).toEqual(expected)
  })

  it.each(['int8', 'q8_0', 'q4_0'] as const)(
    'by %s: a row with what is not finite is NaN, others are not',
    (format) => {
      runtime.setIsa(isa)
      for (const bad of [NaN, Infinity, -Infinity])
        for (const rows of [3, 20]) {
          const left = matrix(rows, 70)
          left.data()[70 + 69] = bad
          const y = ops.matmul(left, ops.quantize(matrix(70, 40), format)).data()
          for (let i = 0; i < rows; i++) for (let j = 0; j < 40; j++) expect(Number.isNaN(y[i * 40 + j]!)).toBe(i === 1)
        }
    },
  )

  it.each(['int8', 'q8_0', 'q4_0'] as const)('by %s: zeros, and rows too small to be told from them', (format) => {
    runtime.setIsa(isa)
    const packed = ops.quantize(matrix(70, 40), format)
    for (const value of [0, -0, 2 ** -149, 1e-37])
      expect(plusZero(ops.matmul(ops.fill([2, 70], value), packed).data())).toEqual(Array(80).fill(0))
    expect(plusZero(ops.matmul(matrix(2, 70), ops.quantize(tensor.zeros([70, 40]), format)).data())).toEqual(
      Array(80).fill(0),
    )
  })

  it.each(['int8', 'q8_0', 'q4_0'] as const)('by %s of more rows than a block has room for', (format) => {
    runtime.setIsa(isa)
    const [tall, packed] = [matrix(70, 20000), ops.quantize(matrix(20000, 33), format)]
    const whole = ops.matmul(tall, packed).data()
    expect(ops.matmul(ops.slice(tall, 0, 69, 70), packed).data()).toEqual(whole.subarray(69 * 33))
    const many = matrix(2100, 5)
    const narrow = ops.quantize(matrix(5, 33), format)
    const all = ops.matmul(many, narrow).data()
    expect(ops.matmul(ops.slice(many, 0, 2099, 2100), narrow).data()).toEqual(all.subarray(2099 * 33))
  })
})
