import type { Shape } from '../tensor/shape.ts'
import { sizeOf } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Work } from './roofline.ts'

export interface Input {
  readonly shape: Shape
  readonly dtype: 'f32' | 'i32'
  /** i32: numbers from the first to below the second. */
  readonly range?: readonly [low: number, below: number]
  /** Another tensor each time, so many that none is in a cache any more when its turn comes: weights of a deep model. */
  readonly cold?: boolean
}

export const floats = (...shape: number[]): Input => ({ shape, dtype: 'f32' })
export const cold = (...shape: number[]): Input => ({ shape, dtype: 'f32', cold: true })
export const indices = (below: number, ...shape: number[]): Input => ({ shape, dtype: 'i32', range: [0, below] })
export const integer = (value: number): Input => ({ shape: [], dtype: 'i32', range: [value, value + 1] })

export const isCold = (inputs: Readonly<Record<string, Input>> = {}): boolean =>
  Object.values(inputs).some((input) => input.cold)

export const bytesOf = (...shape: number[]): number => 4 * sizeOf(shape)

export type Tensors = Readonly<Record<string, Tensor>>

/** What a preparation makes of tensors, e.g. packed weights. */
export type Prepared = Readonly<Record<string, Disposable>>

/** One computation at one size. */
export interface Subject<P extends Prepared = Prepared> {
  /** Nothing is updated in place unless said. */
  readonly work: Omit<Work, 'updated'> & Partial<Work>
  /**
   * A unary function of the addon, or its gradient, that most of the arithmetic is: how fast it is computed where memory
   * does not matter is the roof of computing then, and not the peak of a format, which no such function comes near to.
   */
  readonly function?: { readonly name: string; readonly elements: number }
  readonly inputs: Readonly<Record<string, Input>>
  /**
   * Makes of `raw` what is not to be timed: packed weights, a filled cache. If one of `raw` is `cold`, it is made again for
   * each turn, so many times that none is in a cache any more.
   */
  readonly raw?: Readonly<Record<string, Input>>
  prepare?(raw: Tensors): P
  run(inputs: Tensors, prepared: P): Tensor
  /** Element `index` of what `run` gives, in double precision, from the data of `inputs` and `raw`. */
  exact?(data: Data, index: number): number
}

export type Data = Readonly<Record<string, Float32Array>>

export interface Example {
  /** Where it comes from: a model, a layer, how many tokens. */
  readonly name: string
  readonly sizes: readonly number[]
  /** Part of `--quick`. */
  readonly quick?: boolean
}

/** An operation as something that has speed: how to make a subject of sizes, and the sizes of real models. */
export interface Family {
  /** As people call it: what `heedful bench` selects by. Several families may share it. */
  readonly op: string
  /** What tells it from the other families of the operation, e.g. `causal`. */
  readonly variant?: string
  /** The format of its weights, or of all that it computes with: f32 unless said. */
  readonly dtype?: string
  /** The native instruction that is timed. */
  readonly instruction: string
  /** Names of the sizes, e.g. M, N, K: what `--shapes MxNxK` gives. */
  readonly dimensions: readonly string[]
  readonly examples: readonly Example[]
  subject(...sizes: number[]): Subject
}

export interface Case extends Subject {
  readonly work: Work
  readonly op: string
  readonly name: string
  readonly shape: string
  readonly dtype: string
  readonly instruction: string
  readonly quick: boolean
}

export function caseOf(family: Family, { name, sizes, quick = false }: Example): Case {
  const { op, variant, dtype = 'f32', instruction } = family
  const subject = family.subject(...sizes)
  return {
    ...subject,
    work: { updated: 0, ...subject.work },
    op,
    name: [name, variant].filter(Boolean).join(', '),
    shape: sizes.join('x'),
    dtype,
    instruction,
    quick,
  }
}
