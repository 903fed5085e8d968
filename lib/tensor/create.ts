import { ArgumentError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { toBfloat16 } from './bfloat16.ts'
import { checkDType, type DType, type NumberArray, type TypedArrays } from './dtype.ts'
import { Random } from './random.ts'
import { checkShape, type Shape } from './shape.ts'
import { allocate, fromData, type NestedNumbers, type Tensor, type TensorOptions } from './tensor.ts'

interface FillOptions<D extends DType> {
  dtype?: D
}
interface RandomOptions<D extends DType> extends FillOptions<D> {
  /** Same seed, same numbers. Without one, each call differs. */
  seed?: number
}

function make<D extends DType>(
  operation: string,
  shape: Shape,
  options: FillOptions<D>,
  known: string[],
  usual: DType = 'f32',
): Tensor<D> {
  checkOptions(operation, options, known)
  const dtype = checkDType(operation, options.dtype ?? usual) as D
  return allocate(operation, checkShape(operation, shape), dtype)
}

function fill<D extends DType>(t: Tensor<D>, next: (index: number) => number): Tensor<D> {
  const data = t.data()
  if (t.dtype === 'bf16') for (let i = 0; i < data.length; i++) data[i] = toBfloat16(next(i))
  else for (let i = 0; i < data.length; i++) data[i] = next(i)
  return t
}

function generator(operation: string, seed: number | undefined): Random {
  return new Random(seed === undefined ? Math.random() * 2 ** 48 : checkInteger(operation, 'seed', seed, 0))
}

function create<D extends DType = 'f32'>(data: NestedNumbers, options?: TensorOptions<D>): Tensor<D>
function create<A extends NumberArray>(
  data: A,
  options?: { shape?: Shape },
): Tensor<A extends Float32Array ? 'f32' : A extends Float64Array ? 'f64' : 'i32'>
function create<D extends DType>(data: TypedArrays[DType], options: TensorOptions<D>): Tensor<D>
function create(data: NestedNumbers | TypedArrays[DType], options: TensorOptions<DType> = {}): Tensor {
  checkOptions('tensor', options, ['dtype', 'shape'])
  if (typeof data !== 'number' && !Array.isArray(data) && !ArrayBuffer.isView(data))
    throw new ArgumentError(`tensor: expected a number, nested arrays or a typed array, got ${describe(data)}`)
  return fromData(data, options)
}

/**
 * Makes tensors: `tensor([[1, 2], [3, 4]])`, `tensor(typedArray, { shape })`, `tensor.zeros([2, 3])`, …
 * A tensor holds native memory: `dispose()` it, or declare it with `using`.
 */
export const tensor = Object.assign(create, {
  zeros: <D extends DType = 'f32'>(shape: Shape, options: FillOptions<D> = {}): Tensor<D> =>
    make('tensor.zeros', shape, options, ['dtype']),

  ones: <D extends DType = 'f32'>(shape: Shape, options: FillOptions<D> = {}): Tensor<D> =>
    fill(make('tensor.ones', shape, options, ['dtype']), () => 1),

  full: <D extends DType = 'f32'>(shape: Shape, value: number, options: FillOptions<D> = {}): Tensor<D> => {
    if (typeof value !== 'number')
      throw new ArgumentError(`tensor.full: value should be a number, got ${describe(value)}`)
    return fill(make('tensor.full', shape, options, ['dtype']), () => value)
  },

  /** 0, 1, …, n − 1; i32 unless said. */
  arange: <D extends DType = 'i32'>(n: number, options: FillOptions<D> = {}): Tensor<D> =>
    fill(make('tensor.arange', [checkInteger('tensor.arange', 'n', n, 0)], options, ['dtype'], 'i32'), (i) => i),

  /** Standard normal numbers. */
  randn: <D extends DType = 'f32'>(shape: Shape, options: RandomOptions<D> = {}): Tensor<D> => {
    const result = make('tensor.randn', shape, options, ['dtype', 'seed'])
    const random = generator('tensor.randn', options.seed)
    return fill(result, () => random.normal())
  },

  /** Uniform numbers in [low, high), before they are rounded to the dtype. */
  rand: <D extends DType = 'f32'>(
    shape: Shape,
    options: RandomOptions<D> & { low?: number; high?: number } = {},
  ): Tensor<D> => {
    const result = make('tensor.rand', shape, options, ['dtype', 'seed', 'low', 'high'])
    const random = generator('tensor.rand', options.seed)
    const low = checkNumber('tensor.rand', 'low', options.low ?? 0)
    const high = checkNumber('tensor.rand', 'high', options.high ?? 1, low)
    return fill(result, () => low + (high - low) * random.uniform())
  },
})
