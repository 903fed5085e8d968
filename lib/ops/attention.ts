import { ArgumentError, ShapeError, checkNumber, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { OperandSpec, OutputSpec, TensorType } from '../graph/op.ts'
import { formatShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'

const rows = (name: string): OperandSpec => ({ name, kind: 'float', layout: 'rows' })
// In memory (batch, length, heads, headDim): as the projection wants its rows.
const heads = (name: string): OutputSpec => ({ name, layout: 'rows', order: [0, 2, 1, 3] })
const keyLengthsSpec: OperandSpec = { name: 'keyLengths', kind: 'index', optional: true, layout: 'contiguous' }

const attentionGradientOp = defineOp({
  name: 'attentionGradient',
  operands: [
    rows('q'),
    rows('k'),
    rows('v'),
    rows('o'),
    { name: 'lse', kind: 'float', layout: 'contiguous' },
    rows('gradOutput'),
    keyLengthsSpec,
  ],
  outputs: [heads('gradQ'), heads('gradK'), heads('gradV')],
  infer: ([q, k, v]) => [like(q!), like(k!), like(v!)],
  lowering: { kind: 'instruction', instruction: 'attentionGradient', attributes: numbers('scale', 'causal') },
})

const attentionOp = defineOp({
  name: 'attention',
  operands: [rows('q'), rows('k'), rows('v'), keyLengthsSpec],
  outputs: [heads('o'), { name: 'lse', optional: true, layout: 'contiguous' }],
  infer: ([q, k, v, keyLengths]) => {
    for (const [name, x] of [
      ['q', q],
      ['k', k],
      ['v', v],
    ] as const)
      checkRank('attention', name, x!, 4)
    checkHeads(q!, k!, v!)
    const [batch, numHeads, queryLength] = q!.shape as [number, number, number]
    if (keyLengths) checkShapeOf('attention', 'keyLengths', keyLengths, [batch])
    return [like(q!, [batch, numHeads, queryLength, v!.shape[3]!]), like(q!, [batch, numHeads, queryLength])]
  },
  gradient: ({ inputs: [q, k, v, keyLengths], outputs: [o, lse], gradOutputs: [gradient], attributes }) => [
    ...apply(attentionGradientOp, [q, k, v, o, lse, gradient, keyLengths], attributes, [0, 1, 2]),
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'attention', attributes: numbers('scale', 'causal') },
})

function checkHeads(q: TensorType, k: TensorType, v: TensorType): void {
  const [batch, numHeads, , headDim] = q.shape as [number, number, number, number]
  const [keyBatch, numKeyValueHeads, keyLength, keyDim] = k.shape as [number, number, number, number]
  if (keyBatch !== batch || keyDim !== headDim)
    throw new ShapeError(
      `attention: k ${formatShape(k.shape)} should have the batch and headDim of q ${formatShape(q.shape)}; the order is (batch, heads, length, headDim)`,
    )
  if (v.shape[0] !== batch || v.shape[1] !== numKeyValueHeads || v.shape[2] !== keyLength)
    throw new ShapeError(
      `attention: v ${formatShape(v.shape)} should have the batch, heads and length of k ${formatShape(k.shape)}`,
    )
  if (numKeyValueHeads === 0 || numHeads % numKeyValueHeads !== 0)
    throw new ShapeError(
      `attention: the ${numHeads} heads of q should be a multiple of the ${numKeyValueHeads} of k and v`,
    )
  for (const [name, d] of [
    ['headDim', headDim],
    ['the last dimension of v', v.shape[3]!],
  ] as const)
    if (d < 1 || d > 256) throw new ShapeError(`attention: ${name} should be from 1 to 256, got ${d}`)
}

/** The numbers that the instruction knows `causal` by. */
const causalModes = new Map<unknown, number>([
  [false, 0],
  [true, 1],
  ['start', 2],
])

export interface AttentionOptions {
  /**
   * With L keys, all of them or as many as `keyLengths` says: true lets query i see the keys j ≤ i + L − queryLength,
   * aligned at the end as the last tokens of a cache are; 'start' those j ≤ i and j < L, as tokens of sequences that are
   * padded at the end to one length.
   */
  causal?: boolean | 'start'
  /** 1/√headDim unless said. */
  scale?: number
  /** i32 [batch]: keys and values beyond are not read. */
  keyLengths?: Tensor
}

/**
 * softmax(scale · q·kᵀ + mask) · v per head, without ever storing the scores (Dao et al. 2022; Dao 2023).
 * q [batch, heads, queryLength, headDim], k [batch, kvHeads, keyLength, headDim], v [batch, kvHeads, keyLength,
 * valueDim]; heads is a multiple of kvHeads (grouped queries). A query that sees no key gives 0.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkTensor('attention', 'q', q)
  checkTensor('attention', 'k', k)
  checkTensor('attention', 'v', v)
  checkOptions('attention', options, ['causal', 'scale', 'keyLengths'])
  const { keyLengths } = options
  const causal = causalModes.get(options.causal ?? false)
  if (causal === undefined)
    throw new ArgumentError(`attention: causal should be true, false or 'start', got ${describe(options.causal)}`)
  if (keyLengths !== undefined) checkTensor('attention', 'keyLengths', keyLengths)
  const scale = checkNumber('attention', 'scale', options.scale ?? 1 / Math.sqrt(Math.max(1, q.shape.at(-1) ?? 1)))
  return apply(attentionOp, [q, k, v, keyLengths], { scale, causal })[0]!
}
