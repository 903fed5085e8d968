import { ArgumentError, ShapeError, checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { checkPrecision } from '../graph/precision.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkSoftcap, windowExtents, type AttentionOptions } from './attention.ts'
import { cacheFormatIndex, checkSequences, partsOf, sequenceCount, type QuantizedCache } from './cache.ts'
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
      { name: 'offsets', kind: 'index', optional: true, layout: 'contiguous' },
      { name: 'slots', kind: 'index', optional: true, layout: 'contiguous' },
      { name: 'bias', kind: 'float', optional: true, layout: 'rows' },
      { name: 'alibiSlopes', kind: 'float', optional: true, layout: 'contiguous' },
      // Of a rotary embedding that a rewrite takes in.
      { name: 'queryAngles', kind: 'float', optional: true, layout: 'contiguous' },
    ],
    // In memory (batch, length, heads, headDim): as the projection wants its rows.
    outputs: [{ name: 'o', layout: 'rows', order: [0, 2, 1, 3] }],
    infer: ([q, , , keyLengths, offsets, slots, bias, alibiSlopes], { keyShape, valueShape }) => {
      checkRank('cachedAttention', 'q', q!, 4)
      checkSequences('cachedAttention', 'q', q!, keyShape as Shape, offsets, slots)
      checkShapes(q!.shape, keyShape as Shape, valueShape as Shape)
      checkShapeOf('cachedAttention', 'keyLengths', keyLengths!, [sequenceCount(q!, offsets)])
      const heads = q!.shape[1]!
      if (bias) checkShapeOf('cachedAttention', 'bias', bias, [heads, (keyShape as Shape)[2]!])
      if (alibiSlopes) checkShapeOf('cachedAttention', 'alibiSlopes', alibiSlopes, [heads])
      return [like(q!, [...q!.shape.slice(0, 3), (valueShape as Shape)[3]!])]
    },
    lowering: {
      kind: 'instruction',
      instruction: 'cachedAttention',
      attributes: ({ scale, causal, format, left, softcap, interleaved, precision }) => [
        Number(scale),
        causal ? 1 : 0,
        cacheFormatIndex(format),
        Number(left),
        Number(softcap),
        interleaved ? 1 : 0,
        precision === 'bf16' ? 1 : 0,
      ],
    },
  })
}

const cachedAttentionOp = attends('cachedAttention', 'float')
const quantizedCachedAttentionOp = attends('quantizedCachedAttention', 'index')

function checkShapes(q: Shape, keys: Shape, values: Shape): void {
  const [, numHeads, , headDim] = q as [number, number, number, number]
  const [keyBatch, kvHeads, capacity, keyDim] = keys as [number, number, number, number]
  if (keyDim !== headDim)
    throw new ShapeError(
      `cachedAttention: keys ${formatShape(keys)} should have the headDim of q ${formatShape(q)}; the order is (batch, heads, length, headDim)`,
    )
  if (values[0] !== keyBatch || values[1] !== kvHeads || values[2] !== capacity)
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

export interface CachedAttentionOptions extends Pick<AttentionOptions, 'softcap' | 'alibiSlopes'> {
  /** i32 [sequences]: how many tokens of each sequence the cache holds, those of q included. */
  keyLengths: Tensor
  /**
   * i32 [sequences + 1], beginning with 0: the sequences lie one after another in q [1, heads, tokens, headDim], sequence n
   * at the rows offsets[n] … offsets[n + 1] − 1, which may be none. Rows after the last offset give 0. Without offsets the
   * sequences are the batch.
   */
  offsets?: Tensor | undefined
  /** i32 [sequences]: the row of the cache that each sequence lies in; its own number unless given. Several may share one. */
  slots?: Tensor | undefined
  /** Query i sees keys j ≤ p, p = i + keyLength − queryLength: the queries are the last tokens. true unless said. */
  causal?: boolean
  /** Only the last keys: p − window < j ≤ p. With `causal`. */
  window?: AttentionOptions['window']
  /**
   * [heads, capacity]: added to scores by the distance of a key, bias[h, capacity − 1 − (p − j)]; the last column is the
   * query's own key. As the last row of T5's relative bias (Raffel et al. 2020). With `causal`.
   */
  bias?: Tensor
  /** 1/√headDim unless said. */
  scale?: number
  /** Of more queries than are streamed, as `attention` takes it; f32 unless said. */
  precision?: AttentionOptions['precision']
}

/**
 * softmax(scale · q·kᵀ + mask) · v over the keys and values of a cache, written by `cacheWrite`. q [batch, heads,
 * queryLength, headDim]; keys and values [slots, kvHeads, capacity, headDim], f32 or of one format of `quantizedCache`;
 * heads is a multiple of kvHeads. A few queries read the cache once, at the speed of the memory, for all heads that share
 * it (Dao et al. 2023, Flash-Decoding). Sums are f32 whatever the format. A query without keys gives 0. No gradient: train
 * with `attention`.
 */
export function cachedAttention(
  q: Tensor,
  keys: Tensor | QuantizedCache,
  values: Tensor | QuantizedCache,
  options: CachedAttentionOptions,
): Tensor {
  checkTensor('cachedAttention', 'q', q)
  const [k, v] = [partsOf('cachedAttention', 'keys', keys), partsOf('cachedAttention', 'values', values)]
  checkOptions('cachedAttention', options, {
    keyLengths: 'any',
    offsets: 'any',
    slots: 'any',
    causal: 'boolean',
    window: 'any',
    softcap: 'any',
    alibiSlopes: 'any',
    bias: 'any',
    scale: 'any',
    precision: 'any',
  })
  const { keyLengths, offsets, slots, causal = true, window, softcap, alibiSlopes, bias, precision = 'f32' } = options
  checkPrecision('cachedAttention', precision)
  checkTensor('cachedAttention', 'keyLengths', keyLengths)
  for (const [name, x] of Object.entries({ offsets, slots, bias, alibiSlopes }))
    if (x !== undefined) checkTensor('cachedAttention', name, x)
  if (k.format !== v.format)
    throw new ArgumentError(`cachedAttention: keys and values should be of one format, got ${k.format} and ${v.format}`)
  for (const [name, { tensor, shape }] of [
    ['keys', k],
    ['values', v],
  ] as const)
    if (shape.length !== 4) checkRank('cachedAttention', name, tensor, 4)
  for (const [name, x] of Object.entries({ window, bias, alibiSlopes }))
    if (x !== undefined && !causal)
      throw new ArgumentError(
        `cachedAttention: ${name} goes with causal: true, where queries have a place among the keys`,
      )
  const scale = checkNumber(
    'cachedAttention',
    'scale',
    options.scale ?? 1 / Math.sqrt(Math.max(1, q.shape.at(-1) ?? 1)),
  )
  if (softcap !== undefined) checkSoftcap('cachedAttention', softcap)
  const [left] = windowExtents('cachedAttention', window, true)
  const op = k.format === 'f32' ? cachedAttentionOp : quantizedCachedAttentionOp
  return apply(op, [q, k.tensor, v.tensor, keyLengths, offsets, slots, bias, alibiSlopes, undefined], {
    scale,
    causal,
    format: k.format,
    left,
    softcap: softcap ?? 0,
    precision,
    keyShape: k.shape,
    valueShape: v.shape,
  })[0]!
}
