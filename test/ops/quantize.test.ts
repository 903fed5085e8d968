import { afterAll, describe, expect, it } from 'vitest'
import {
  ArgumentError,
  compile,
  DisposedError,
  DTypeError,
  grad,
  liveBytes,
  ops,
  ShapeError,
  tensor,
  TraceError,
  type Tensor,
} from '../../lib/index.ts'
import { weightFormats } from '../../lib/ops/quantize.ts'
import { runtime } from '../../lib/runtime.ts'
import { Random } from '../../lib/tensor/random.ts'
import { deviation } from '../reference/deviation.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterAll(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

const random = new Random(5)
const matrix = (rows: number, columns: number): Tensor =>
  tensor(
    Float32Array.from({ length: rows * columns }, () => random.normal()),
    { shape: [rows, columns] },
  )

const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]!
const fromBits = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!
/** The nearer of the bfloat16 on both sides; halfway, the one whose last bit is 0. */
function nearestBf16(x: number): number {
  const below = bitsOf(x) & 0xffff0000
  const above = below + 0x10000
  const [down, up] = [Math.abs(x - fromBits(below)), Math.abs(fromBits(above) - x)]
  return fromBits(down < up || (down === up && (below & 0x10000) === 0) ? below : above)
}

describe('panels', () => {
  const weight = matrix(5, 35)
  const words = (format: ops.WeightFormat): Uint32Array => new Uint32Array(ops.quantize(weight, format).panels.data())
  const at = (k: number, j: number): number => (k < 5 && j < 35 ? bitsOf(nearest(weight.data()[k * 35 + j]!)) : 0)
  let nearest = (x: number): number => x

  it('hold f32 word by word: [panel of 32 columns][k][column]', () => {
    nearest = (x) => x
    expect([...words('f32')]).toEqual(Array.from({ length: 2 * 5 * 32 }, (_, i) => at((i >> 5) % 5, columnOf(i, 5))))
  })
  it('hold bf16 in pairs along k, the first in the lower half, to nearest even', () => {
    nearest = nearestBf16
    const pair = (i: number): number => {
      const [k, j] = [2 * ((i >> 5) % 3), columnOf(i, 3)]
      return (at(k + 1, j) + (at(k, j) >>> 16)) >>> 0
    }
    expect([...words('bf16')]).toEqual(Array.from({ length: 2 * 3 * 32 }, (_, i) => pair(i)))
  })
  it('round halfway to even, and carry into the exponent', () => {
    const hard = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -23, 1.999, -1.999, 2 ** -130, 3.3e38]
    const rounded = ops.dequantize(ops.quantize(tensor([hard]), 'bf16'))
    expect([...rounded.data()]).toEqual(hard.map((x) => nearestBf16(Math.fround(x))))
  })
  it.each(weightFormats)('of %s are the same whatever made them', (format) => {
    const made = runtime.availableIsas().map((isa) => {
      runtime.setIsa(isa)
      return words(format)
    })
    for (const other of made) expect(other).toEqual(made[0])
  })
})

const columnOf = (word: number, rows: number): number => (word & 31) + 32 * Math.floor(word / (32 * rows))

describe.each(runtime.availableIsas())('products on %s', (isa) => {
  const x = matrix(150, 801)
  const weight = matrix(801, 70)

  it.each(weightFormats)('by %s: a row has the same bits in any company, by any number of threads', (format) => {
    runtime.setIsa(isa)
    using packed = ops.quantize(weight, format)
    const whole = ops.matmul(x, packed).data()
    for (const [threads, rows] of [1, 2, 8, 9, 33].entries()) {
      runtime.setThreads(threads + 1)
      expect(ops.matmul(ops.slice(x, 0, 0, rows), packed).data()).toEqual(whole.subarray(0, rows * 70))
    }
  })

  it('by bf16 of an odd number of terms do not see what an earlier product left', () => {
    runtime.setIsa(isa)
    const isNaNs = (x: Tensor): boolean[] => [...new Set(Array.from(x.data() as Float32Array, Number.isNaN))]
    for (const rows of [1, 9]) {
      expect(isNaNs(ops.matmul(ops.fill([rows, 41], NaN), ops.quantize(matrix(41, 33), 'bf16')))).toEqual([true])
      expect(isNaNs(ops.matmul(matrix(rows, 39), ops.quantize(matrix(39, 33), 'bf16')))).toEqual([false])
    }
  })

  it('by bf16 are those by the same numbers in f32; those of rounded pairs as exact', () => {
    runtime.setIsa(isa)
    using rounded = ops.dequantize(ops.quantize(weight, 'bf16'))
    const pairs = isa.endsWith('_bf16')
    const left = pairs ? ops.dequantize(ops.quantize(x, 'bf16')) : x
    const actual = ops.matmul(x, ops.quantize(weight, 'bf16')).data()
    if (!pairs) expect(actual).toEqual(ops.matmul(left, ops.quantize(rounded, 'f32')).data())
    const exact = ops.matmul(ops.cast(left, 'f64'), ops.cast(rounded, 'f64')).data()
    expect(deviation(actual, exact)).toBeLessThan(1e-6)
  })

  it('by bf16 are off by about what rounding to 8 bits costs', () => {
    runtime.setIsa(isa)
    const exact = ops.matmul(ops.cast(x, 'f64'), ops.cast(weight, 'f64')).data()
    const actual = ops.matmul(x, ops.quantize(weight, 'bf16')).data()
    const error = Math.sqrt(meanSquare(actual, exact) / meanSquare(exact, new Float64Array(exact.length)))
    expect(error).toBeGreaterThan(5e-4)
    expect(error).toBeLessThan(3e-3)
  })
})

const meanSquare = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a, (value, i) => (value - b[i]!) ** 2).reduce((sum, square) => sum + square, 0) / a.length

describe('QuantizedMatrix', () => {
  it('says what it is, and gives its memory back', () => {
    const weight = matrix(40, 30)
    const live = liveBytes()
    const packed = ops.quantize(ops.transpose(weight), 'bf16')
    expect({ ...packed, panels: undefined }).toMatchObject({ shape: [30, 40], format: 'bf16' })
    expect(packed.bytes).toBe(2 * 15 * 32 * 4)
    expect(String(packed)).toBe('QuantizedMatrix bf16 [30, 40]')
    packed.dispose()
    packed.dispose()
    expect(packed.isDisposed).toBe(true)
    expect(() => ops.matmul(weight, packed)).toThrow(DisposedError)
    expect(() => ops.dequantize(packed)).toThrow(DisposedError)
    expect(liveBytes()).toBeLessThanOrEqual(live + 4 * 40 * 30)
  })

  it('is one instruction of a program, bias and activation included', () => {
    const [packed, bias] = [ops.quantize(matrix(20, 40), 'bf16'), matrix(1, 40).reshape([40])]
    using program = compile(({ x }: { x: Tensor }) => ops.gelu(ops.add(ops.matmul(x, packed), bias)))
    const x = matrix(3, 20)
    const expected = ops.gelu(ops.add(ops.matmul(x, packed), bias))
    expect(deviation(program.runSync({ x }).data(), expected.data())).toBeLessThan(1e-6)
    expect(program.instructions).toEqual(['matmul'])
  })

  it('is read where it lies, by programs too', () => {
    runtime.setThreads(1)
    const packed = ops.quantize(matrix(1500, 1500), 'f32')
    using program = compile(({ x }: { x: Tensor }) => ops.matmul(x, packed))
    const before = liveBytes()
    program.runSync({ x: matrix(1, 1500) }).dispose()
    expect(liveBytes() - before).toBeLessThan(packed.bytes / 2)
  })

  it('multiplies as many rows as there are', () => {
    const packed = ops.quantize(matrix(20, 40), 'f32')
    using program = compile(({ x }: { x: Tensor }) => x.matmul(packed), { rows: { capacity: 16, inputs: ['x'] } })
    for (const rows of [0, 1, 9, 16]) {
      const x = matrix(rows, 20)
      expect(program.runSync({ x }).data()).toEqual(ops.matmul(x, packed).data())
    }
  })

  it('has no gradient, and says so; what it is multiplied by has one', () => {
    const [x, weight] = [matrix(3, 20), matrix(20, 40)]
    const loss = (): Tensor => ops.sum(ops.matmul(x, ops.quantize(weight, 'bf16')))
    expect(() => grad(loss, weight)({})).toThrow(TraceError)
    expect(() => grad(loss, weight)({})).toThrow('quantize it afterwards')
    const expected = ops.sum(ops.dequantize(ops.quantize(weight, 'bf16')), { axis: 1 }).data()
    expect(deviation(grad(loss, x)({}).data().subarray(0, 20), expected)).toBeLessThan(1e-6)
  })
})

describe('mistakes are told', () => {
  const x = matrix(3, 20)
  const packed = ops.quantize(matrix(20, 40), 'f32')
  const any = packed as never
  it.each<[string, () => unknown, new (message: string) => Error, string]>([
    [
      'a format that is none',
      () => ops.quantize(x, 'int3' as never),
      ArgumentError,
      'f32, bf16, f16, int8, q8_0, q4_0, got "int3"',
    ],
    ['no format', () => ops.quantize(x, undefined as never), ArgumentError, 'got undefined'],
    ['no tensor', () => ops.quantize([[1]] as never, 'f32'), ArgumentError, 'matrix should be a tensor'],
    ['a vector', () => ops.quantize(tensor([1, 2]), 'f32'), ShapeError, 'matrix should have rank 2, got shape [2]'],
    ['integers', () => ops.quantize(tensor([[1]], { dtype: 'i32' }), 'bf16'), DTypeError, 'cast'],
    ['quantizing twice', () => ops.quantize(any, 'f32'), ArgumentError, 'got a QuantizedMatrix'],
    ['dequantizing a tensor', () => ops.dequantize(x as never), ArgumentError, 'expected what quantize() made'],
    ['dequantizing to integers', () => ops.dequantize(packed, 'i32' as never), DTypeError, 'f32 or f64'],
    [
      'other columns than rows',
      () => ops.matmul(matrix(3, 21), packed),
      ShapeError,
      'a [3, 21] has 21 columns, b [20, 40] has 20 rows',
    ],
    ['a vector on the left', () => ops.matmul(tensor([1, 2]), packed), ShapeError, 'rank 2 to 6'],
    ['a bias of another length', () => ops.matmul(x, packed, { bias: tensor([1]) }), ShapeError, 'bias should have'],
    ['packed on the left', () => ops.matmul(any, x), ArgumentError, 'a should be a tensor, got a QuantizedMatrix'],
    ['addition', () => ops.add(x, any), ArgumentError, 'got a QuantizedMatrix'],
    ['addition to it', () => ops.add(any, x), ArgumentError, 'got a QuantizedMatrix'],
    ['softmax', () => ops.softmax(any), ArgumentError, 'got a QuantizedMatrix'],
    ['transposition', () => ops.transpose(any), ArgumentError, 'got a QuantizedMatrix'],
    ['an embedding', () => ops.embedding(any, tensor([0], { dtype: 'i32' })), ArgumentError, 'got a QuantizedMatrix'],
    ['attention', () => ops.attention(any, any, any), ArgumentError, 'got a QuantizedMatrix'],
    ['concatenation', () => ops.concat([x, any]), ArgumentError, 'got a QuantizedMatrix'],
    ['an input', () => compile((t) => t as never).runSync({ packed: any }), ArgumentError, 'got a QuantizedMatrix'],
    ['a result', () => compile(() => packed as never).runSync({}), ArgumentError, 'got a QuantizedMatrix'],
  ])('%s', (_, run, type, message) => {
    expect(run).toThrow(type)
    expect(run).toThrow(message)
  })
})
