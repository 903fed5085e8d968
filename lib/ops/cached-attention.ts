import { ArgumentError, ShapeError, checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { cacheFormatIndex, partsOf, type QuantizedCache } from './cache.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like } from './define-op.ts'

const attends = (name: string, kind: 'float' | 'index'): ReturnType<typeof defineOp> => {
  const layout = kind === 'float' ? 'rows' : 'contiguous'
  return defineOp({
    name,
    operands: [
      { name: 'q', kind: 'float', layout: 'rows' },
      { name: 'keys', kind, layout },
      { name: 'values', kind, layout },
      { name: 'keyLengths', kind: 'index', layout: 'contiguous' },
    ],
    // In memory (batch, length, heads, headDim): as the projection wants its rows.
    outputs: [{ name: 'o', layout: 'rows', order: [0, 2, 1, 3] }],
    infer: ([q, , , keyLengths], { keyShape, valueShape }) => {
      checkRank('cachedAttention', 'q', q!, 4)
      checkShapes(q!.shape, keyShape as Shape, valueShape as Shape)
      checkShapeOf('cachedAttention', 'keyLengths', keyLengths!, [q!.shape[0]!])
      return [like(q!, [...q!.shape.slice(0, 3), (valueShape as Shape)[3]!])]
    },
    lowering: {
      kind: 'instruction',
      instruction: 'cachedAttention',
      attributes: ({ scale, causal, format }) => [Number(scale), causal ? 1 : 0, cacheFormatIndex(format)],
    },
  })
}

const cachedAttentionOp = attends('cachedAttention', 'float')
const quantizedCachedAttentionOp = attends('quantizedCachedAttention', 'index')

function checkShapes(q: Shape, keys: Shape, values: Shape): void {
  const [batch, numHeads, , headDim] = q as [number, number, number, number]
  const [keyBatch, kvHeads, capacity, keyDim] = keys as [number, number, number, number]
  if (keyBatch !== batch || keyDim !== headDim)
    throw new ShapeError(
      `cachedAttention: keys ${formatShape(keys)} should have the batch and headDim of q ${formatShape(q)}; the order is (batch, heads, length, headDim)`,
    )
  if (values[0] !== batch || values[1] !== kvHeads || values[2] !== capacity)
    throw new ShapeError(
      `cachedAttention: values ${formatShape(values)} should have the batch, heads and capacity of keys ${formatShape(keys)}`,
    )
  if (kvHeads === 0 || numHeads % kvHeads !== 0)
    throw new ShapeError(`cachedAttention: the ${numHeads} heads of q should be a multiple of the ${kvHeads} of keys`)
  for (const [name, d] of [
    ['headDim', headDim],
    ['the last dimension of values', values[3]!],
  ] as const)
    if (d < 1 || d > 256) throw new ShapeError(`cachedAttention: ${name} should be from 1 to 256, got ${d}`)
}

export interface CachedAttentionOptions {
  /** i32 [batch]: how many tokens of each sequence the cache holds, those of q included. */
  keyLengths: Tensor
  /** Query i sees keys j ≤ i + keyLength − queryLength: the queries are the last tokens. true unless said. */
  causal?: boolean
  /** 1/√headDim unless said. */
  scale?: number
}

/**
 * softmax(scale · q·kᵀ + mask) · v over the keys and values of a cache, written by `cacheWrite`. q [batch, heads,
 * queryLength, headDim]; keys and values [batch, kvHeads, capacity, headDim], f32 or of one format of `quantizedCache`;
 * heads is a multiple of kvHeads. A few queries read the cache once, at the speed of the memory, for all heads that share
 * it (Dao et al. 2023, Flash-Decoding). Sums are f32 whatever the format. No gradient: train with `attention`.
 */
export function cachedAttention(
  q: Tensor,
  keys: Tensor | QuantizedCache,
  values: Tensor | QuantizedCache,
  options: CachedAttentionOptions,
): Tensor {
  checkTensor('cachedAttention', 'q', q)
  const [k, v] = [partsOf('cachedAttention', 'keys', keys), partsOf('cachedAttention', 'values', values)]
  checkOptions('cachedAttention', options, { keyLengths: 'any', causal: 'boolean', scale: 'any' })
  const { keyLengths, causal = true } = options
  checkTensor('cachedAttention', 'keyLengths', keyLengths)
  if (k.format !== v.format)
    throw new ArgumentError(`cachedAttention: keys and values should be of one format, got ${k.format} and ${v.format}`)
  for (const [name, { tensor, shape }] of [
    ['keys', k],
    ['values', v],
  ] as const)
    if (shape.length !== 4) checkRank('cachedAttention', name, tensor, 4)
  const scale = checkNumber(
    'cachedAttention',
    'scale',
    options.scale ?? 1 / Math.sqrt(Math.max(1, q.shape.at(-1) ?? 1)),
  )
  const op = k.format === 'f32' ? cachedAttentionOp : quantizedCachedAttentionOp
  const attributes = { scale, causal, format: k.format, keyShape: k.shape, valueShape: v.shape }
  return apply(op, [q, k.tensor, v.tensor, keyLengths], attributes)[0]!
}
