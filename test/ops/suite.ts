import { grad } from '../../lib/ops/gradients.ts'
import { add, multiply, sum } from '../../lib/ops/index.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import type { TensorType } from '../../lib/graph/op.ts'
import { Trace, withTrace } from '../../lib/graph/trace.ts'
import { generate, normal, type Case, type FloatType, type Input } from './case.ts'
import { GuardedProgram } from './guarded-program.ts'

type TensorRecord = Record<string, Tensor>

/** A function of named tensors that a case stands for: the operation itself, or its gradients. */
export interface Subject {
  readonly name: 'forward' | 'gradient'
  readonly inputs: Readonly<Record<string, Input>>
  readonly data: Readonly<Record<string, Float32Array | Int32Array>>
  call(inputs: TensorRecord, dtype: FloatType): readonly Tensor[]
}

export function forwardOf({ name, inputs, run }: Case): Subject {
  const call = (tensors: TensorRecord, dtype: FloatType): readonly Tensor[] => [run(tensors, dtype)].flat()
  return { name: 'forward', inputs, data: generate(name, inputs), call }
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
  return { name: 'gradient', inputs, data: generate(given.name, inputs), call }
}

export const differentiated = ({ gradient, inputs }: Case): readonly string[] =>
  gradient ?? Object.keys(inputs).filter((key) => inputs[key]!.kind === 'float')

export function program({ inputs, call }: Subject, dtype: FloatType): GuardedProgram {
  return new GuardedProgram((tensors) => call(tensors, dtype), typesOf(inputs, dtype))
}

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
