import type { Precision } from '../../lib/graph/precision.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { Random } from '../../lib/tensor/random.ts'
import { sizeOf, type Shape } from '../../lib/tensor/shape.ts'

export type FloatType = 'f32' | 'f64'

/** What an input holds. Numbers are rounded to f32, so that f32 and f64 start from the same ones. */
export interface Input {
  readonly shape: Shape
  readonly kind: 'float' | 'i32'
  generate(random: Random): ArrayLike<number>
}

/** One use of an operation. The suite runs it in f32 on every instruction set, and in f64. */
export interface Case<Key extends string = string> {
  readonly name: string
  readonly inputs: Readonly<Record<Key, Input>>
  run(inputs: Readonly<Record<Key, Tensor>>, dtype: FloatType): Tensor | readonly Tensor[]
  /** Inputs that gradients are taken of: every float unless said. */
  readonly gradient?: readonly string[]
  /** How many times what rounding costs the result may be off (see rounding.ts): 8 unless said. */
  readonly ulps?: number
  /** Instruction sets that round more, as they say, and how many times as far they may be off then. */
  readonly coarser?: Readonly<Record<string, number>>
  /** The same for the gradient; `ulps` unless said. */
  readonly gradientUlps?: number
  /** How large the numbers are that cancel inside of the operation, to a result that may be smaller. */
  readonly cancels?: number
  /** The result is the f64 one, rounded: no arithmetic, or one operation that rounds correctly. */
  readonly exact?: boolean
  /** false: numbers are compared that rounding would tell apart or not; only `ulps` of the result itself are allowed. */
  readonly rounding?: false
  /** As `compile` takes it; f32 unless said. The f64 loops round what their op says. */
  readonly precision?: Precision
  /** false: at a kink, where finite differences say nothing. */
  readonly differences?: false
}

/** A case, its inputs known by name to `run`. */
export const define = <Key extends string>(given: Case<Key>): Case => given as unknown as Case

const input = (shape: Shape, kind: Input['kind'], next: (random: Random, index: number) => number): Input => ({
  shape,
  kind,
  generate: (random) => Array.from({ length: sizeOf(shape) }, (_, i) => next(random, i)),
})

/** Numbers with this standard deviation. */
export const normal = (shape: Shape, deviation = 1): Input =>
  input(shape, 'float', (random) => deviation * random.normal())
export const uniform = (shape: Shape, low: number, high: number): Input =>
  input(shape, 'float', (random) => low + (high - low) * random.uniform())
/** Whole numbers in [low, high). */
export const integers = (shape: Shape, low: number, high: number): Input =>
  input(shape, 'i32', (random) => low + random.integer(high - low))
/** These numbers, again and again. */
export const values = (numbers: readonly number[], shape: Shape = [numbers.length]): Input =>
  input(shape, 'float', (_, i) => numbers[i % numbers.length]!)
export const indices = (numbers: readonly number[], shape: Shape = [numbers.length]): Input =>
  input(shape, 'i32', (_, i) => numbers[i % numbers.length]!)

/** The same numbers for a name, however many cases stand before it. */
export function generate(
  name: string,
  inputs: Readonly<Record<string, Input>>,
): Record<string, Float32Array | Int32Array> {
  let seed = 0
  for (const character of name) seed = (Math.imul(seed, 31) + character.codePointAt(0)!) >>> 0
  const random = new Random(seed)
  return Object.fromEntries(
    Object.entries(inputs).map(([key, { kind, generate: make }]) => [
      key,
      kind === 'i32' ? Int32Array.from(make(random)) : Float32Array.from(make(random)),
    ]),
  )
}

export const text = (shape: Shape): string => `[${shape.join(',')}]`
