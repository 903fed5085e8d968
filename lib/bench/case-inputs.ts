import { tensor } from '../tensor/create.ts'
import { Random } from '../tensor/random.ts'
import { sizeOf } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { isCold, type Case, type Data, type Input, type Prepared, type Tensors } from './case.ts'

export interface CaseInputs {
  /** Of each repeat; all but the cold ones are the same. */
  readonly data: readonly Tensors[]
  readonly prepared: readonly Prepared[]
  readonly error?: number | undefined
  dispose(): void
}

/** What a case is run with, and how far its result is from the exact one. */
export function makeInputs(given: Case, repeats: number): CaseInputs {
  const random = new Random(1)
  // A prime number of numbers, so that no two rows of a matrix are the same.
  const block = Float32Array.from({ length: 4093 }, () => random.normal())
  const made: Disposable[] = []
  const make = ({ shape, dtype, range: [low, below] = [0, 1] }: Input): Tensor => {
    if (dtype === 'i32')
      return tensor(
        Int32Array.from({ length: sizeOf(shape) }, () => low + random.integer(below - low)),
        { shape },
      )
    const x = tensor.zeros(shape)
    const data = x.data()
    for (let at = 0; at < data.length; at += block.length) data.set(block.subarray(0, data.length - at), at)
    return x
  }
  const makeAll = (
    inputs: Readonly<Record<string, Input>> = {},
    wanted: (input: Input) => boolean = () => true,
  ): Tensors =>
    Object.fromEntries(
      Object.entries(inputs)
        .filter(([, input]) => wanted(input))
        .map(([name, input]) => [name, make(input)]),
    )
  const keep = <T extends Readonly<Record<string, Disposable>>>(named: T): T => {
    made.push(...Object.values(named))
    return named
  }

  const raw = makeAll(given.raw)
  const prepare = (): Prepared => keep(given.prepare?.(raw) ?? {})
  const coldPrepared = isCold(given.raw)
  const once = coldPrepared ? undefined : prepare()
  const warm = keep(makeAll(given.inputs, (input) => !input.cold))
  const data = Array.from({ length: repeats }, () => ({
    ...warm,
    ...keep(makeAll(given.inputs, (input) => input.cold ?? false)),
  }))
  const prepared = data.map(() => once ?? prepare())
  const error = errorOf(given, { ...raw, ...data[0]! }, data[0]!, prepared[0]!)
  for (const x of Object.values(raw)) x.dispose()
  return {
    data,
    prepared,
    error,
    dispose: () => {
      for (const x of made) x[Symbol.dispose]()
    },
  }
}

/** Elements that the error is taken from. */
const errorSamples = 128

/** √(Σ (y − exact)² / Σ exact²). */
function errorOf(given: Case, all: Tensors, inputs: Tensors, prepared: Prepared): number | undefined {
  if (!given.exact) return undefined
  const data = Object.fromEntries(Object.entries(all).map(([name, x]) => [name, x.data()])) as Data
  using result = given.run(inputs, prepared)
  const y = result.data() as Float32Array
  // Steps of the golden ratio: rows and columns of every part of a matrix.
  const at = (sample: number): number => Math.floor(((sample * 0.6180339887498949) % 1) * y.length)
  let [difference, size] = [0, 0]
  for (let sample = 0; sample < errorSamples; sample++) {
    const exact = given.exact(data, at(sample))
    difference += (y[at(sample)]! - exact) ** 2
    size += exact ** 2
  }
  return Math.sqrt(difference / size)
}
