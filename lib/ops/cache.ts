import { ArgumentError, ShapeError, checkInteger, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { TensorType } from '../graph/op.ts'
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

/** Of what `offsets` cut, or of a batch. */
export const sequenceCount = (x: TensorType, offsets: TensorType | undefined): number =>
  offsets ? offsets.shape[0]! - 1 : x.shape[0]!

/** Which rows of `x` go with which row of a cache. */
export function checkSequences(
  operation: string,
  name: string,
  x: TensorType,
  cache: Shape,
  offsets: TensorType | undefined,
  slots: TensorType | undefined,
): void {
  if (offsets) {
    checkRank(operation, 'offsets', offsets, 1)
    if (offsets.shape[0] === 0)
      throw new ShapeError(`${operation}: offsets should be [sequences + 1], the first of them 0, got [0]`)
    if (x.shape[0] !== 1)
      throw new ShapeError(
        `${operation}: offsets go with packed sequences, ${name} [1, heads, tokens, headDim], got a batch of ${x.shape[0]}`,
      )
  }
  const count = sequenceCount(x, offsets)
  if (slots) checkShapeOf(operation, 'slots', slots, [count])
  else if (offsets ? count > cache[0]! : count !== cache[0])
    throw new ShapeError(
      `${operation}: ${name} ${formatShape(x.shape)} has ${count} sequences, but the cache ${formatShape(cache)} has room for ${cache[0]}; slots say which row each of them lies in`,
    )
}

const writes = (name: string, kind: 'float' | 'index'): ReturnType<typeof defineOp> =>
  defineOp({
    name,
    operands: [
      { name: 'x', kind: 'float', layout: 'rows' },
      { name: 'position', kind: 'index', layout: 'contiguous' },
      { name: 'offsets', kind: 'index', optional: true, layout: 'contiguous' },
      { name: 'slots', kind: 'index', optional: true, layout: 'contiguous' },
      // Of a rotary embedding that a rewrite takes in.
      { name: 'angles', kind: 'float', optional: true, layout: 'contiguous' },
      { name: 'cache', kind, layout: kind === 'float' ? 'rows' : 'contiguous' },
    ],
    outputs: [{ name: 'updated', updates: 'cache', layout: kind === 'float' ? 'rows' : 'contiguous' }],
    infer: ([x, position, offsets, slots, , cache], { shape }) => {
      checkRank('cacheWrite', 'x', x!, 4)
      checkSequences('cacheWrite', 'x', x!, shape as Shape, offsets, slots)
      checkShapeOf('cacheWrite', 'position', position!, offsets ? [sequenceCount(x!, offsets)] : [])
      const [, numHeads, length, headDim] = x!.shape
      const [, cacheHeads, capacity, cacheDim] = shape as Shape
      if (numHeads !== cacheHeads || headDim !== cacheDim || (!offsets && length! > capacity!))
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
      attributes: ({ format, interleaved }) => [cacheFormatIndex(format), interleaved ? 1 : 0],
    },
  })

const cacheWriteOp = writes('cacheWrite', 'float')
const quantizedCacheWriteOp = writes('quantizedCacheWrite', 'index')

/** The same cache, after it was changed. */
const changed = <C extends Tensor | QuantizedCache>(cache: C, updated: Tensor): C =>
  (cache instanceof QuantizedCache ? new QuantizedCache(cache.shape, cache.format, updated) : updated) as C

export interface CacheWriteOptions {
  /** i32 [sequences + 1]: packed sequences, as `cachedAttention` has them. position is i32 [sequences] then. */
  offsets?: Tensor | undefined
  /** i32 [sequences]: the row of the cache that each sequence lies in; its own number unless given. No two may write to one. */
  slots?: Tensor | undefined
}

/**
 * cache[b, h, position + t, :] = x[b, h, t, :], in place; gives the cache as it is then. position: an i32 scalar. What
 * would not fit is an error when it runs. A cache made by `quantizedCache` rounds what is written.
 */
export function cacheWrite<C extends Tensor | QuantizedCache>(
  cache: C,
  x: Tensor,
  position: Tensor,
  options: CacheWriteOptions = {},
): C {
  const { tensor, shape, format } = partsOf('cacheWrite', 'cache', cache)
  checkTensor('cacheWrite', 'x', x)
  checkTensor('cacheWrite', 'position', position)
  checkOptions('cacheWrite', options, ['offsets', 'slots'])
  const { offsets, slots } = options
  for (const [name, given] of Object.entries({ offsets, slots }))
    if (given !== undefined) checkTensor('cacheWrite', name, given)
  if (shape.length !== 4) checkRank('cacheWrite', 'cache', tensor, 4)
  const op = format === 'f32' ? cacheWriteOp : quantizedCacheWriteOp
  return changed(cache, apply(op, [x, position, offsets, slots, undefined, tensor], { shape, format })[0]!)
}

const copies = (name: string, kind: 'float' | 'index'): ReturnType<typeof defineOp> =>
  defineOp({
    name,
    operands: [
      { name: 'from', kind: 'index', layout: 'contiguous' },
      { name: 'to', kind: 'index', layout: 'contiguous' },
      { name: 'lengths', kind: 'index', layout: 'contiguous' },
      { name: 'cache', kind, layout: kind === 'float' ? 'rows' : 'contiguous' },
    ],
    outputs: [{ name: 'updated', updates: 'cache', layout: kind === 'float' ? 'rows' : 'contiguous' }],
    infer: ([from, to, lengths, cache]) => {
      checkRank('cacheCopy', 'from', from!, 1)
      checkShapeOf('cacheCopy', 'to', to!, from!.shape)
      checkShapeOf('cacheCopy', 'lengths', lengths!, from!.shape)
      return [like(cache!)]
    },
    lowering: {
      kind: 'instruction',
      instruction: 'cacheCopy',
      attributes: ({ format, headDim }) => [cacheFormatIndex(format), Number(headDim)],
    },
  })

const cacheCopyOp = copies('cacheCopy', 'float')
const quantizedCacheCopyOp = copies('quantizedCacheCopy', 'index')

export interface CacheCopies {
  /** i32 [copies]: rows of the cache. */
  from: Tensor
  /** i32 [copies]: none of them is copied from, or to twice. */
  to: Tensor
  /** i32 [copies]: how many tokens; of 0 the other two count for nothing. */
  lengths: Tensor
}

/** cache[to[i], h, t, :] = cache[from[i], h, t, :] for t < lengths[i], in place; gives the cache as it is then. */
export function cacheCopy<C extends Tensor | QuantizedCache>(cache: C, given: CacheCopies): C {
  const { tensor, shape, format } = partsOf('cacheCopy', 'cache', cache)
  checkOptions('cacheCopy', given, ['from', 'to', 'lengths'])
  const { from, to, lengths } = given
  for (const [name, x] of Object.entries({ from, to, lengths })) checkTensor('cacheCopy', name, x)
  if (shape.length !== 4) checkRank('cacheCopy', 'cache', tensor, 4)
  const headDim = shape[3]!
  if (headDim < 1 || headDim > 256) throw new ShapeError(`cacheCopy: headDim should be from 1 to 256, got ${headDim}`)
  const op = format === 'f32' ? cacheCopyOp : quantizedCacheCopyOp
  return changed(cache, apply(op, [from, to, lengths, tensor], { format, headDim })[0]!)
}
