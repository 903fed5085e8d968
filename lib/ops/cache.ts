import { ArgumentError, ShapeError, checkInteger, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { native } from '../native/load.ts'
import { formatShape, sizeOf, type Shape } from '../tensor/shape.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like } from './define-op.ts'

/** What the keys and values of a cache may be stored as. */
export const cacheFormats = ['f32', 'bf16', 'int8'] as const
export type CacheFormat = (typeof cacheFormats)[number]

/** Tokens that lie together, and what rows are filled up to a multiple of: the addon's kCacheGroup. */
const group = 16

/** The words of a cache of `shape` [batch, kvHeads, capacity, headDim], as native/ops/cache_format.h says. */
function wordsShape([batch, heads, capacity, dim]: Shape, format: 'bf16' | 'int8'): number[] {
  const padded = group * Math.ceil(dim! / group)
  return format === 'bf16'
    ? [batch!, heads!, capacity!, padded / 2]
    : [batch!, heads!, Math.ceil(capacity! / group), group * (padded / 4 + 1)]
}

export const cacheFormatIndex = (format: unknown): number => native.cacheFormats.indexOf(format as string)

export function checkCacheFormat(operation: string, name: string, format: unknown): CacheFormat {
  if (!cacheFormats.includes(format as CacheFormat))
    throw new ArgumentError(
      `${operation}: ${name} should be one of ${cacheFormats.join(', ')}, got ${describe(format)}`,
    )
  return format as CacheFormat
}

/**
 * Keys or values of a cache [batch, kvHeads, capacity, headDim] in fewer bits. `cacheWrite` rounds rows into it,
 * `cachedAttention` reads them; no other operation takes it. Memory comes back with `dispose()` or `using`.
 */
export class QuantizedCache implements Disposable {
  readonly shape: readonly [number, number, number, number]
  readonly format: 'bf16' | 'int8'
  /** @internal The packed words, as an i32 tensor. */
  readonly words: Tensor

  /** @internal Use `quantizedCache(...)`. */
  constructor(shape: Shape, format: 'bf16' | 'int8', words: Tensor) {
    this.shape = Object.freeze([shape[0]!, shape[1]!, shape[2]!, shape[3]!] as const)
    this.format = format
    this.words = words
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return 4 * sizeOf(this.words.shape)
  }
  get isDisposed(): boolean {
    return this.words.isDisposed
  }
  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.words.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
  toString(): string {
    return `QuantizedCache ${this.format} ${formatShape(this.shape)}`
  }
}

/** @internal The shape of the i32 tensor that a QuantizedCache needs. */
export { wordsShape as quantizedCacheWords }

/**
 * An empty cache of keys or values [batch, kvHeads, capacity, headDim].
 *
 * - `bf16`: rows are rounded to bfloat16, to nearest even: relative error at most 2⁻⁸, half the memory of f32.
 * - `int8`: each row (one token of one head) as multiples of its largest magnitude / 127: error at most 1/254 of that,
 *   about 27 % of the memory. A row with NaN or ∞ becomes NaN.
 */
export function quantizedCache(shape: Shape, format: 'bf16' | 'int8'): QuantizedCache {
  if (!Array.isArray(shape) || shape.length !== 4)
    throw new ShapeError(`quantizedCache: shape should be [batch, kvHeads, capacity, headDim], got ${describe(shape)}`)
  shape.forEach((d, i) => checkInteger('quantizedCache', `shape[${i}]`, d, i < 3 ? 0 : 1, i < 3 ? undefined : 256))
  if (format !== 'bf16' && format !== 'int8')
    throw new ArgumentError(`quantizedCache: format should be bf16 or int8, got ${describe(format)}`)
  return new QuantizedCache(shape, format, allocate('quantizedCache', wordsShape(shape, format), 'i32'))
}

/** `cache` as the tensor that an instruction takes, and its shape as rows of numbers. */
export function partsOf(
  operation: string,
  name: string,
  cache: unknown,
): { tensor: Tensor; shape: Shape; format: CacheFormat } {
  if (cache instanceof QuantizedCache)
    return { tensor: checkTensor(operation, name, cache.words), shape: cache.shape, format: cache.format }
  const tensor = checkTensor(operation, name, cache)
  return { tensor, shape: tensor.shape, format: 'f32' }
}

/** cache[b, h, position + t, :] = x[b, h, t, :], rounded to the format of the cache. */
const writes = (name: string, kind: 'float' | 'index'): ReturnType<typeof defineOp> =>
  defineOp({
    name,
    operands: [
      { name: 'x', kind: 'float', layout: 'rows' },
      { name: 'position', kind: 'index', layout: 'contiguous' },
      { name: 'cache', kind, layout: kind === 'float' ? 'rows' : 'contiguous' },
    ],
    outputs: [{ name: 'updated', updates: 'cache', layout: kind === 'float' ? 'rows' : 'contiguous' }],
    infer: ([x, position, cache], { shape }) => {
      checkRank('cacheWrite', 'x', x!, 4)
      checkShapeOf('cacheWrite', 'position', position!, [])
      const [batch, numHeads, length, headDim] = x!.shape
      const [cacheBatch, cacheHeads, capacity, cacheDim] = shape as Shape
      if (batch !== cacheBatch || numHeads !== cacheHeads || headDim !== cacheDim || length! > capacity!)
        throw new ShapeError(
          `cacheWrite: x ${formatShape(x!.shape)} does not fit into the cache ${formatShape(shape as Shape)}; the order is (batch, heads, length, headDim)`,
        )
      if (headDim! < 1 || headDim! > 256)
        throw new ShapeError(`cacheWrite: headDim should be from 1 to 256, got ${headDim}`)
      return [like(cache!)]
    },
    lowering: {
      kind: 'instruction',
      instruction: 'cacheWrite',
      attributes: ({ format }) => [cacheFormatIndex(format)],
    },
  })

const cacheWriteOp = writes('cacheWrite', 'float')
const quantizedCacheWriteOp = writes('quantizedCacheWrite', 'index')

/**
 * cache[b, h, position + t, :] = x[b, h, t, :], in place; gives the cache as it is then. position: an i32 scalar. What
 * would not fit is an error when it runs. A cache made by `quantizedCache` rounds what is written.
 */
export function cacheWrite<C extends Tensor | QuantizedCache>(cache: C, x: Tensor, position: Tensor): C {
  const { tensor, shape, format } = partsOf('cacheWrite', 'cache', cache)
  checkTensor('cacheWrite', 'x', x)
  checkTensor('cacheWrite', 'position', position)
  if (shape.length !== 4) checkRank('cacheWrite', 'cache', tensor, 4)
  const op = format === 'f32' ? cacheWriteOp : quantizedCacheWriteOp
  const updated = apply(op, [x, position, tensor], { shape, format })[0]!
  return (cache instanceof QuantizedCache ? new QuantizedCache(cache.shape, cache.format, updated) : updated) as C
}
