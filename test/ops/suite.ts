import { grad } from '../../lib/ops/gradients.ts'
import { add, multiply, sum } from '../../lib/ops/index.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import type { Precision } from '../../lib/graph/precision.ts'
import type { TensorType } from '../../lib/graph/op.ts'
import { Trace, withTrace } from '../../lib/graph/trace.ts'
import { generate, normal, type Case, type FloatType, type Input } from './case.ts'
import { GuardedProgram } from './guarded-program.ts'

type TensorRecord = Record<string, Tensor>

/** A function of named tensors that a case stands for: the operation itself, or its gradients. */
export class Subject {
  readonly name: string
  readonly inputs: Readonly<Record<string, Input>>
  readonly call: (inputs: TensorRecord, dtype: FloatType) => readonly Tensor[]
  readonly precision: Precision
  readonly #seed: string
  #data: Readonly<Record<string, Float32Array | Int32Array>> | undefined

  constructor(name: string, given: Pick<Case, 'name' | 'inputs' | 'precision'>, call: Subject['call']) {
    this.name = name
    this.inputs = given.inputs
    this.call = call
    this.#seed = given.name
    this.precision = given.precision ?? 'f32'
  }

  get data(): Readonly<Record<string, Float32Array | Int32Array>> {
    this.#data ??= generate(this.#seed, this.inputs)
    return this.#data
  }

  program(dtype: FloatType): GuardedProgram {
    return new GuardedProgram((tensors) => this.call(tensors, dtype), typesOf(this.inputs, dtype), this.precision)
  }
}

export function forwardOf(given: Case): Subject {
  return new Subject('forward', given, (tensors, dtype) => [given.run(tensors, dtype)].flat())
}

/** The gradients of Σ w ⊙ y, w being further inputs. undefined: nothing to differentiate. */
export function gradientOf(given: Case): Subject | undefined {
  const forward = forwardOf(given)
  const wrt = differentiated(given)
  if (!wrt.length) return undefined
  const weights = outputTypes(given).map(({ shape }) => normal(shape))
  const inputs = { ...given.inputs, ...Object.fromEntries(weights.map((w, i) => [`w${i}`, w])) }
  const call = (tensors: TensorRecord, dtype: FloatType): readonly Tensor[] =>
    grad(
      () =>
        forward
          .call(tensors, dtype)
          .map((y, i) => sum(multiply(y, tensors[`w${i}`]!)))
          .reduce((a, b) => add(a, b)),
      wrt.map((key) => tensors[key]!),
    )({})
  return new Subject('gradient', { ...given, inputs }, call)
}

export const differentiated = ({ gradient, inputs }: Case): readonly string[] =>
  gradient ?? Object.keys(inputs).filter((key) => inputs[key]!.kind === 'float')

function outputTypes(given: Case): readonly TensorType[] {
  const trace = new Trace()
  const types = Object.entries(typesOf(given.inputs, 'f32'))
  const symbols = Object.fromEntries(types.map(([key, type]) => [key, trace.input(type, false)]))
  return withTrace(trace, () => forwardOf(given).call(symbols, 'f32'))
}

function typesOf(inputs: Subject['inputs'], dtype: FloatType): Record<string, TensorType> {
  return Object.fromEntries(
    Object.entries(inputs).map(([key, { shape, kind }]) => [key, { shape, dtype: kind === 'i32' ? 'i32' : dtype }]),
  )
}
