import { apply } from '../graph/apply.ts'
import type { OpDefinition, TensorType } from '../graph/op.ts'
import { checkDType, gradientType, type DType } from '../tensor/dtype.ts'
import { broadcastShapes } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkTensor, defineOp, functionIndex, like, noAttributes } from './define-op.ts'
import { fill } from './fill.ts'
import { reduceTo } from './view.ts'

/** Numbers stand for scalars of the other operand's dtype. */
export type Operand = Tensor | number

function operands(operation: string, a: Operand, b: Operand): [Tensor, Tensor] {
  if (typeof a === 'number' && b instanceof Tensor) return [fill([], a, b.dtype), checkTensor(operation, 'b', b)]
  if (typeof b === 'number' && a instanceof Tensor) return [checkTensor(operation, 'a', a), fill([], b, a.dtype)]
  return [checkTensor(operation, 'a', a), checkTensor(operation, 'b', b)]
}

// ---- two operands -------------------------------------------------------------------------------------------------

type BinaryGradient = (
  gradient: Tensor,
  a: Tensor,
  b: Tensor,
  y: Tensor,
  wanted: readonly boolean[],
) => [Tensor | undefined, Tensor | undefined]

function binary(name: string, gradient?: BinaryGradient): (a: Operand, b: Operand) => Tensor {
  const definition: OpDefinition = defineOp({
    name,
    operands: [
      { name: 'a', kind: 'float' },
      { name: 'b', kind: 'float' },
    ],
    outputs: [{ name: 'y', inPlace: ['a', 'b'] }],
    infer: ([a, b]) => [like(a!, broadcastShapes(name, a!.shape, b!.shape))],
    ...(gradient && {
      gradient: ({ inputs, outputs, gradOutputs, wanted }) =>
        gradient(gradOutputs[0]!, inputs[0]!, inputs[1]!, outputs[0]!, wanted).map((g, i) =>
          g && wanted[i] ? reduceTo(g, inputs[i]!) : undefined,
        ),
    }),
    lowering: {
      kind: 'instruction',
      instruction: 'binary',
      attributes: () => [functionIndex('binaryFunctions', name)],
    },
  })
  return (a, b) => apply(definition, operands(name, a, b))[0]!
}

/** a + b, broadcasting. */
export const add = binary('add', (g) => [g, g])
/** a − b, broadcasting. */
export const subtract = binary('subtract', (g, _a, _b, _y, wanted) => [g, wanted[1] ? negate(g) : undefined])
/** a · b elementwise, broadcasting. */
export const multiply = binary('multiply', (g, a, b, _y, wanted) => [
  wanted[0] ? multiply(g, b) : undefined,
  wanted[1] ? multiply(g, a) : undefined,
])
/** a / b, broadcasting. */
export const divide = binary('divide', (g, _a, b, y, wanted) => {
  const scaled = divide(g, b)
  return [scaled, wanted[1] ? negate(multiply(scaled, y)) : undefined]
})
/** aᵇ, broadcasting. The gradient for b needs a > 0. */
export const power = binary('power', (g, a, b, y, wanted) => [
  wanted[0] ? multiply(g, multiply(b, power(a, subtract(b, 1)))) : undefined,
  wanted[1] ? multiply(g, multiply(y, log(a))) : undefined,
])
/** The larger of a and b, NaN if either is. Where they are equal, each gets half of the gradient. */
export const maximum = binary('maximum', (g, a, b) => splitByOrder(g, a, b))
/** The smaller of a and b, NaN if either is. Where they are equal, each gets half of the gradient. */
export const minimum = binary('minimum', (g, a, b) => splitByOrder(g, b, a))
/** 1 where a > b, else 0. No gradient. */
export const greater = binary('greater')
/** 1 where a ≥ b, else 0. No gradient. */
export const greaterEqual = binary('greaterEqual')
/** 1 where a = b, else 0. No gradient. */
export const equal = binary('equal')

function splitByOrder(g: Tensor, larger: Tensor, smaller: Tensor): [Tensor, Tensor] {
  const tie = multiply(equal(larger, smaller), 0.5)
  return [multiply(g, add(greater(larger, smaller), tie)), multiply(g, add(greater(smaller, larger), tie))]
}

// ---- one operand --------------------------------------------------------------------------------------------------

const unaryGradientOp = defineOp({
  name: 'unaryGradient',
  operands: [
    { name: 'x', kind: 'float' },
    { name: 'gradOutput', kind: 'float' },
  ],
  outputs: [{ name: 'gradInput', inPlace: ['gradOutput', 'x'] }],
  infer: ([x]) => [like(x!)],
  lowering: {
    kind: 'instruction',
    instruction: 'unaryGradient',
    attributes: ({ function: f }) => [functionIndex('unaryFunctions', f)],
  },
})

function unary(name: string): (x: Tensor) => Tensor {
  const definition = defineOp({
    name,
    operands: [{ name: 'x', kind: 'float' }],
    outputs: [{ name: 'y', inPlace: ['x'] }],
    infer: ([x]) => [like(x!)],
    gradient: ({ inputs, gradOutputs }) => [apply(unaryGradientOp, [inputs[0], gradOutputs[0]], { function: name })[0]],
    lowering: { kind: 'instruction', instruction: 'unary', attributes: () => [functionIndex('unaryFunctions', name)] },
  })
  return (x) => apply(definition, [checkTensor(name, 'x', x)])[0]!
}

export const negate = unary('negate')
export const absolute = unary('absolute')
export const square = unary('square')
export const squareRoot = unary('squareRoot')
/** Within 1.5 ulp. */
export const reciprocalSquareRoot = unary('reciprocalSquareRoot')
export const reciprocal = unary('reciprocal')
/** Within 2 ulp (3 without fused multiply-adds). */
export const exp = unary('exp')
/** Natural logarithm. */
export const log = unary('log')
export const sine = unary('sine')
export const cosine = unary('cosine')
/** The error function, 2/√π · ∫₀ˣ e^(−t²) dt, within 2 ulp. */
export const erf = unary('erf')
/** −1, 0 or 1. Its gradient is 0. */
export const sign = unary('sign')
/** max(x, 0); the gradient at 0 is 0. */
export const relu = unary('relu')
/**
 * x · Φ(x) with the normal distribution function Φ (Hendrycks & Gimpel 2016): within 2.75 ulp down to x = −12.9, where Φ
 * becomes denormal (without fused multiply-adds x²/2 ulp more there). 0 at −∞.
 */
export const gelu = unary('gelu')
/** ½x(1 + tanh(√(2/π)(x + 0.044715x³))), as GPT-2 uses it. */
export const geluTanh = unary('geluTanh')
/** x / (1 + e⁻ˣ), also called swish. */
export const silu = unary('silu')
export const sigmoid = unary('sigmoid')
/** Within 2 ulp (4 without fused multiply-adds). */
export const tanh = unary('tanh')

/** Names of the functions that can stand between two matrices of a feed-forward layer. */
export const activations = { relu, gelu, geluTanh, silu, sigmoid, tanh } as const
export type Activation = keyof typeof activations

// ---- dtype --------------------------------------------------------------------------------------------------------

const castOp = defineOp({
  name: 'cast',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as TensorType['dtype'] }],
  gradient: ({ inputs, gradOutputs }) => {
    const { dtype } = inputs[0]!
    return [dtype === 'i32' ? undefined : castUnlessIs(gradOutputs[0]!, gradientType(dtype))]
  },
  lowering: { kind: 'instruction', instruction: 'copy', attributes: noAttributes },
})

const castUnlessIs = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : cast(x, dtype))

/**
 * The same numbers as another dtype. To i32: towards zero, saturating, NaN becomes 0. To bf16: to nearest even, relative
 * error at most 2⁻⁹ of the next power of two, beyond the largest infinite. The gradient is cast back; that of a bf16 tensor
 * is f32.
 */
export function cast(x: Tensor, dtype: TensorType['dtype']): Tensor {
  return apply(castOp, [checkTensor('cast', 'x', x)], { dtype: checkDType('cast', dtype) })[0]!
}
