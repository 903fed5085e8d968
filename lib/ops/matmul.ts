import { ArgumentError, ShapeError, TraceError, checkOptions, describe, nearest } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { checkPrecision, type Precision } from '../graph/precision.ts'
import type { Attributes, OpDefinition, TensorType } from '../graph/op.ts'
import { broadcastShapes, formatShape, sizeOf, type Shape } from '../tensor/shape.ts'
import { gradientType } from '../tensor/dtype.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, functionIndex, like } from './define-op.ts'
import { activations, cast, type Activation } from './elementwise.ts'
import { sum } from './reduce.ts'
import { QuantizedMatrix, unpack, weightFormatIndex, type WeightFormat } from './quantize.ts'
import { reduceTo, reshape, transpose } from './view.ts'

/** All but the bias is for the rewrites. */
const epilogue: OpDefinition['operands'] = [
  { name: 'bias', kind: 'float', optional: true, layout: 'contiguous' },
  { name: 'aux', kind: 'float', optional: true, layout: 'rows' },
  { name: 'gate', kind: 'index', optional: true, layout: 'contiguous' },
  { name: 'gateBias', kind: 'float', optional: true, layout: 'contiguous' },
]

const unused = [undefined, undefined, undefined]

const outputs: OpDefinition['outputs'] = [
  { name: 'y', layout: 'rows' },
  { name: 'preActivation', optional: true, layout: 'rows' },
]

const lowering = (format: (attributes: Attributes) => number): OpDefinition['lowering'] => ({
  kind: 'instruction',
  instruction: 'matmul',
  attributes: (attributes) => [
    functionIndex('unaryFunctions', attributes['function']),
    attributes['gradient'] ? 1 : 0,
    format(attributes),
    attributes['precision'] === 'bf16' ? 1 : 0,
  ],
})

/*
 * y[…, i, j] = f(Σ_k a[…, i, k] · b[…, k, j] + bias[j]);  with `gradient`, (Σ + bias) · f'(aux[…, i, j]) instead.
 * f, aux and the second output exist for the rewrites: what a person calls has f = identity, so that there is one
 * gradient rule.
 */
const matmulOp = defineOp({
  name: 'matmul',
  operands: [
    { name: 'a', kind: 'float', layout: 'matrix' },
    { name: 'b', kind: 'float', layout: 'matrix' },
    ...epilogue,
  ],
  outputs,
  infer: ([a, b, bias]) => {
    checkRank('matmul', 'a', a!, 2, 6)
    checkRank('matmul', 'b', b!, 2, 6)
    const m = a!.shape.at(-2)!
    const [k, n] = b!.shape.slice(-2) as [number, number]
    checkInner(a!, b!.shape, k)
    if (bias) checkShapeOf('matmul', 'bias', bias, [n])
    const type = like(a!, [...broadcastShapes('matmul', a!.shape.slice(0, -2), b!.shape.slice(0, -2)), m, n])
    return [type, type]
  },
  gradient: ({ inputs: [a, b, bias], gradOutputs: [gradient], attributes, wanted }) => {
    const options = { precision: attributes['precision'] as Precision }
    return [
      wanted[0] ? reduceTo(matmul(gradient!, transpose(b!), options), a!) : undefined,
      wanted[1] ? gradientOfB(a!, gradient!, b!, options) : undefined,
      bias && wanted[2] ? gradientOfBias(gradient!) : undefined,
    ]
  },
  lowering: lowering(() => -1),
})

/**
 * The same with a b that was packed before: `panels` of a matrix of `shape` [k, n] in a `format`. With a `gate`, panels of
 * another such matrix:  y[…, i, j] = (Σ_k a[…, i, k] · b[k, j] + bias[j]) · f(Σ_k a[…, i, k] · gate[k, j] + gateBias[j]).
 */
const quantizedMatmulOp = defineOp({
  name: 'quantizedMatmul',
  operands: [
    { name: 'a', kind: 'float', layout: 'rows' },
    { name: 'panels', kind: 'index', layout: 'contiguous' },
    ...epilogue,
  ],
  outputs,
  infer: ([a, , bias], { shape }) => {
    checkRank('matmul', 'a', a!, 2, 6)
    const [k, n] = shape as [number, number]
    checkInner(a!, shape as Shape, k)
    if (bias) checkShapeOf('matmul', 'bias', bias, [n])
    const type = like(a!, [...a!.shape.slice(0, -1), n])
    return [type, type]
  },
  gradient: ({ inputs: [a, panels, bias], gradOutputs: [gradient], attributes, wanted }) => {
    if (wanted[1])
      throw new TraceError(
        'grad: what was given to quantize has no gradient; train the matrix itself, and quantize it afterwards',
      )
    return [
      wanted[0] ? matmul(gradient!, transpose(unpack(panels!, attributes as unknown as Packed, a!.dtype))) : undefined,
      undefined,
      bias && wanted[2] ? gradientOfBias(gradient!) : undefined,
    ]
  },
  lowering: lowering(({ format }) => weightFormatIndex(format)),
})

interface Packed {
  readonly shape: Shape
  readonly format: WeightFormat
}

function checkInner(a: TensorType, b: Shape, rows: number): void {
  const columns = a.shape.at(-1)
  if (columns !== rows)
    throw new ShapeError(
      `matmul: a ${formatShape(a.shape)} has ${columns} columns, b ${formatShape(b)} has ${rows} rows; they should be equal`,
    )
}

const gradientOfBias = (gradient: Tensor): Tensor =>
  sum(gradient, { axis: gradient.shape.slice(0, -1).map((_, axis) => axis) })

/** aᵀ·dy. Batches of `a` that share one `b` are one long product instead of many that are added. */
function gradientOfB(a: Tensor, gradient: Tensor, b: Tensor, options: MatmulOptions): Tensor {
  if (b.rank > 2) return reduceTo(matmul(transpose(a), gradient, options), b)
  // The number of rows stays open (−1) where it may differ from run to run; nothing is known of rows without elements.
  const rows = (x: Tensor): Tensor => {
    const columns = x.shape.at(-1)!
    return reshape(x, [columns ? -1 : sizeOf(x.shape.slice(0, -1)), columns])
  }
  return matmul(transpose(rows(a)), rows(gradient), options)
}

export interface MatmulOptions {
  /** A vector [n] that is added to each row. */
  bias?: Tensor
  /** Applied to the result while it is still in the cache. */
  activation?: Activation
  /**
   * f32 unless said. bf16 rounds both operands to bfloat16 while they are packed, to nearest even; products are exact,
   * sums f32; the gradient's products do the same. A quantized b says by its format how it is multiplied.
   */
  precision?: Precision
}

/**
 * Matrix product: y[…, i, j] = f(Σ_k a[…, i, k] · b[…, k, j] + bias[j]), a […, m, k], b […, k, n]. Leading dimensions
 * broadcast. Transposed views are read in place. b may be one matrix packed by `quantize`. Operands may be bf16: the
 * product is that of their numbers, in f32.
 */
export function matmul(a: Tensor, b: Tensor | QuantizedMatrix, options: MatmulOptions = {}): Tensor {
  checkTensor('matmul', 'a', a)
  if (!(b instanceof QuantizedMatrix)) checkTensor('matmul', 'b', b)
  checkOptions('matmul', options, ['bias', 'activation', 'precision'])
  const { bias, activation, precision } = options
  if (precision !== undefined) checkPrecision('matmul', precision)
  if (precision === 'bf16' && b instanceof QuantizedMatrix)
    throw new ArgumentError(
      `matmul: precision bf16 does not go with a matrix quantized to ${b.format}, whose format says how it is multiplied; leave it out`,
    )
  if (bias !== undefined) checkTensor('matmul', 'bias', bias)
  const plain = { function: 'identity', gradient: false }
  const dtype = b instanceof QuantizedMatrix || b.dtype === 'bf16' ? gradientType(a.dtype) : b.dtype
  const [left, right] = [a, b].map((x) => (x instanceof Tensor && x.dtype === 'bf16' ? cast(x, dtype) : x)) as [
    Tensor,
    typeof b,
  ]
  const y =
    right instanceof QuantizedMatrix
      ? apply(quantizedMatmulOp, [left, right.panels, bias, ...unused], {
          ...plain,
          shape: right.shape,
          format: right.format,
        })[0]!
      : apply(matmulOp, [left, right, bias, ...unused], { ...plain, precision: precision ?? 'f32' })[0]!
  return activation === undefined ? y : activate('matmul', activation, y)
}

/** f(x) for the name of an activation. */
export function activate(operation: string, activation: Activation, x: Tensor): Tensor {
  return activations[checkActivation(operation, activation)](checkTensor(operation, 'x', x))
}

export function checkActivation(operation: string, activation: unknown): Activation {
  const names = Object.keys(activations)
  if (names.includes(activation as string)) return activation as Activation
  const near = typeof activation === 'string' && nearest(activation, names)
  throw new ArgumentError(
    `${operation}: activation should be one of ${names.join(', ')}, got ${describe(activation)}${near ? `; did you mean ${near}?` : ''}`,
  )
}
