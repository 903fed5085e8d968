import { ArgumentError, ShapeError, TraceError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { checkPrecision, type Precision } from '../graph/precision.ts'
import type { Attributes, OperandSpec, OutputSpec, TensorType } from '../graph/op.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, like, numbers } from './define-op.ts'
import { reshape } from './view.ts'

const rows = (name: string): OperandSpec => ({ name, kind: 'float', layout: 'rows' })
// In memory (batch, length, heads, headDim): as the projection wants its rows.
const heads = (name: string): OutputSpec => ({ name, layout: 'rows', order: [0, 2, 1, 3] })
const lse: Omit<OutputSpec, 'name'> = { layout: 'strided', order: [0, 2, 1] }
const index = (name: string): OperandSpec => ({ name, kind: 'index', optional: true, layout: 'contiguous' })
const optional = (name: string, layout: 'rows' | 'contiguous'): OperandSpec => ({
  name,
  kind: 'float',
  optional: true,
  layout,
})
/** What says who sees what. */
const extras = [
  index('keyLengths'),
  index('offsets'),
  index('keyOffsets'),
  optional('bias', 'rows'),
  optional('alibiSlopes', 'contiguous'),
]
const attributes = (given: Attributes): number[] => [
  ...numbers('scale', 'causal', 'left', 'right', 'softcap')(given),
  given['precision'] === 'bf16' ? 1 : 0,
]
/** The angles of a rotary embedding that a rewrite takes into the operation: q and k are turned as they are read. */
const angles = ['queryAngles', 'keyAngles'].map((name) => optional(name, 'contiguous'))

const attentionGradientOp = defineOp({
  name: 'attentionGradient',
  operands: [
    rows('q'),
    rows('k'),
    rows('v'),
    rows('o'),
    { name: 'lse', kind: 'float', layout: 'strided' },
    rows('gradOutput'),
    ...extras,
  ],
  outputs: [heads('gradQ'), heads('gradK'), heads('gradV'), { name: 'gradBias', optional: true, layout: 'rows' }],
  infer: ([q, k, v, , , , , , , bias]) => [like(q!), like(k!), like(v!), like(bias ?? q!)],
  lowering: { kind: 'instruction', instruction: 'attentionGradient', attributes },
})

const attentionOp = defineOp({
  name: 'attention',
  operands: [rows('q'), rows('k'), rows('v'), ...extras, ...angles],
  outputs: [
    heads('o'),
    { name: 'lse', optional: true, ...lse },
    { name: 'probabilities', optional: true, layout: 'rows' },
  ],
  infer: ([q, k, v, keyLengths, offsets, keyOffsets, bias, alibiSlopes]) => {
    for (const [name, x] of Object.entries({ q, k, v })) checkRank('attention', name, x!, 4)
    checkHeads(q!, k!, v!)
    const [batch, numHeads, queryLength] = q!.shape as [number, number, number]
    const keyLength = k!.shape[2]!
    if (keyLengths) checkShapeOf('attention', 'keyLengths', keyLengths, [batch])
    if (offsets) checkOffsets(batch, offsets, keyOffsets)
    if (bias) checkBias(bias, [batch, numHeads, queryLength, keyLength], offsets !== undefined)
    if (alibiSlopes) checkShapeOf('attention', 'alibiSlopes', alibiSlopes, [numHeads])
    return [
      like(q!, [batch, numHeads, queryLength, v!.shape[3]!]),
      like(q!, [batch, numHeads, queryLength]),
      like(q!, [batch, numHeads, queryLength, keyLength]),
    ]
  },
  gradient: ({
    inputs: [q, k, v, ...more],
    outputs: [o, lse],
    gradOutputs: [gradient, , byWeights],
    attributes,
    wanted,
  }) => {
    if (byWeights || !gradient)
      throw new TraceError(
        'grad: the probabilities that attention gives have no gradient, only its output has; make them with softmax(matmul(q, k)) to differentiate them',
      )
    const [gradQ, gradK, gradV, gradBias] = apply(
      attentionGradientOp,
      [q, k, v, o, lse, gradient, ...more.slice(0, extras.length)],
      attributes,
      wanted[biasIndex] ? [0, 1, 2, 3] : [0, 1, 2],
    )
    const gradients: (Tensor | undefined)[] = attentionOp.operands.map(() => undefined)
    gradients.splice(0, 3, gradQ, gradK, gradV)
    if (wanted[biasIndex]) gradients[biasIndex] = gradBias
    return gradients
  },
  lowering: {
    kind: 'instruction',
    instruction: 'attention',
    attributes: (given) => [...attributes(given), given['interleaved'] ? 1 : 0],
  },
})
const biasIndex = attentionOp.operands.findIndex(({ name }) => name === 'bias')

function checkOffsets(batch: number, offsets: TensorType, keyOffsets: TensorType | undefined): void {
  checkRank('attention', 'offsets', offsets, 1)
  if (offsets.shape[0] === 0)
    throw new ShapeError('attention: offsets should be [sequences + 1], the first of them 0, got [0]')
  if (batch !== 1)
    throw new ShapeError(
      `attention: offsets go with packed sequences, q [1, heads, tokens, headDim], got a batch of ${batch}`,
    )
  if (keyOffsets) checkShapeOf('attention', 'keyOffsets', keyOffsets, offsets.shape)
}

/** With offsets it has to reach as far as the longest sequence, which is known when it runs. */
function checkBias({ shape }: TensorType, [batch, numHeads, queryLength, keyLength]: Shape, packed: boolean): void {
  const [b, h, t, s] = shape
  const fits = (size: number | undefined, whole: number | undefined): boolean => size === 1 || size === whole
  if (!fits(b, batch) || !fits(h, numHeads) || (!packed && (t !== queryLength || s !== keyLength)))
    throw new ShapeError(
      `attention: bias should be [1 or ${batch}, 1 or ${numHeads}, ${packed ? 'longest, longest' : `${queryLength}, ${keyLength}`}], the first one or two left out if they are 1, got ${formatShape(shape)}; broadcastTo() makes it so`,
    )
}

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
  /**
   * How far queries see; p is the key that query i stands at: i, or i + L − queryLength when `causal` is true. A number w
   * is what configurations call it: with `causal` the last w keys, p itself included (Mistral's sliding_window); without
   * it those with |p − j| ≤ w/2 (ModernBERT's local_attention). [left, right]: p − left ≤ j ≤ p + right.
   */
  window?: number | readonly [left: number, right: number]
  /** Scores s become softcap · tanh(s / softcap), before anything is added (Gemma 2). */
  softcap?: number
  /** [heads]: slope · |p − j| is subtracted from scores (ALiBi; Press, Smith & Lewis 2021). It gets no gradient. */
  alibiSlopes?: Tensor
  /**
   * Added to scores, −∞ hides a key: [queryLength, keyLength], before it 1 or heads, before that 1 or batch (T5; Raffel
   * et al. 2020). With `offsets`, row i and column j are the query i and key j of each sequence.
   */
  bias?: Tensor
  /**
   * i32 [sequences + 1], beginning with 0: sequences of several lengths lie one after another without padding, sequence n
   * at the rows offsets[n] … offsets[n + 1] − 1 of q, k and v, whose batch is 1. Rows after the last offset give 0.
   */
  offsets?: Tensor
  /** The same of k and v, where they are not as long as q. */
  keyOffsets?: Tensor
  /**
   * f32 unless said. bf16 rounds q, k, v and the weights of the values to bfloat16, to nearest even, where they are
   * multiplied, and in the gradient what its products multiply; products are exact, sums and the softmax f32.
   */
  precision?: Precision
}

const optionNames = [
  'causal',
  'scale',
  'keyLengths',
  'window',
  'softcap',
  'alibiSlopes',
  'bias',
  'offsets',
  'keyOffsets',
  'precision',
]

/** How many keys are seen before and after the query's own; −1: all. */
export function windowExtents(
  operation: string,
  window: AttentionOptions['window'],
  causal: boolean,
): [left: number, right: number] {
  if (window === undefined) return [-1, -1]
  if (typeof window === 'number') {
    checkInteger(operation, 'window', window, 1, maxWindow)
    return causal ? [window - 1, 0] : [window >> 1, window >> 1]
  }
  if (!Array.isArray(window) || window.length !== 2)
    throw new ArgumentError(`${operation}: window should be a number of keys or [left, right], got ${describe(window)}`)
  const [left, right] = window as [unknown, unknown]
  checkInteger(operation, 'window[0]', left, 0, maxWindow)
  checkInteger(operation, 'window[1]', right, 0, maxWindow)
  if (causal && right !== 0)
    throw new ArgumentError(`${operation}: window should be [left, 0] when it is causal, got ${describe(window)}`)
  return [left as number, right as number]
}
const maxWindow = 2 ** 31 - 1

export function checkSoftcap(operation: string, softcap: number): void {
  if (!(checkNumber(operation, 'softcap', softcap, 0) > 0))
    throw new ArgumentError(`${operation}: softcap should be above 0, got 0; leave it out for none`)
}

/** [queryLength, keyLength] and more before it, seen as rank 4. */
function biasOf(bias: Tensor): Tensor {
  checkTensor('attention', 'bias', bias)
  checkRank('attention', 'bias', bias, 2, 4)
  return bias.rank === 4 ? bias : reshape(bias, [1, 1, ...bias.shape].slice(-4))
}

function attend(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions, wanted: readonly number[]): Tensor[] {
  checkTensor('attention', 'q', q)
  checkTensor('attention', 'k', k)
  checkTensor('attention', 'v', v)
  checkOptions('attention', options, optionNames)
  const { keyLengths, alibiSlopes, offsets, keyOffsets, softcap, precision = 'f32' } = options
  const causal = causalModes.get(options.causal ?? false)
  if (causal === undefined)
    throw new ArgumentError(`attention: causal should be true, false or 'start', got ${describe(options.causal)}`)
  for (const [name, x] of Object.entries({ keyLengths, offsets, keyOffsets, alibiSlopes }))
    if (x !== undefined) checkTensor('attention', name, x)
  if (keyOffsets && !offsets) throw new ArgumentError('attention: keyOffsets need offsets, those of the queries')
  if (keyLengths && offsets)
    throw new ArgumentError(
      'attention: keyLengths go with padded sequences, offsets with packed ones; offsets, and keyOffsets, say how many keys there are',
    )
  checkPrecision('attention', precision)
  const scale = checkNumber('attention', 'scale', options.scale ?? 1 / Math.sqrt(Math.max(1, q.shape.at(-1) ?? 1)))
  if (softcap !== undefined) checkSoftcap('attention', softcap)
  const [left, right] = windowExtents('attention', options.window, causal !== 0)
  return apply(
    attentionOp,
    [
      q,
      k,
      v,
      keyLengths,
      offsets,
      keyOffsets,
      options.bias === undefined ? undefined : biasOf(options.bias),
      alibiSlopes,
      ...angles.map(() => undefined),
    ],
    { scale, causal, left, right, softcap: softcap ?? 0, precision },
    wanted,
  )
}

/**
 * softmax(scale · q·kᵀ + mask) · v per head, without ever storing the scores (Dao et al. 2022; Dao 2023).
 * q [batch, heads, queryLength, headDim], k [batch, kvHeads, keyLength, headDim], v [batch, kvHeads, keyLength,
 * valueDim]; heads is a multiple of kvHeads (grouped queries). A query that sees no key gives 0.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  return attend(q, k, v, options, [0])[0]!
}

/**
 * `attention`, and the probabilities [batch, heads, queryLength, keyLength] that it weighs values by, written in the same
 * pass: rows sum to 1, or are 0 for a query that sees no key. With `offsets` they are 0 between two sequences. Gradients
 * flow through the output; the probabilities have none.
 */
export function attentionWithProbabilities(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): { output: Tensor; probabilities: Tensor } {
  const [output, , probabilities] = attend(q, k, v, options, [0, 2])
  return { output: output!, probabilities: probabilities! }
}
