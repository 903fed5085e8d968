import { compile } from '../graph/compile.ts'
import { mean } from '../ops/reduce.ts'
import { concat, reshape, slice } from '../ops/view.ts'
import { Random } from '../tensor/random.ts'
import { sizeOf } from '../tensor/shape.ts'
import { tensor } from '../tensor/create.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { benchWork, type BenchResult } from './bench.ts'
import { bytesOf, type Case, type Input, type Tensors } from './case.ts'
import type { Machine } from './machine.ts'
import { bytesMoved, workingSetOf } from './roofline.ts'

/** Weights that are to come from memory: more bytes than caches hold. */
const coldBytes = 160 * 2 ** 20
/** A run repeats its instruction for about a millisecond: the threads are awake then, as in the middle of a model. */
const repeatMs = 1
const mostRepeats = 32
/** What a core does at least; only to choose the number of repeats by. */
const slow = { flopsPerMs: 30e6, bytesPerMs: 10e6 }

export interface RunCaseOptions {
  readonly machine: Machine
  /** Milliseconds to sample for. */
  readonly time: number
  readonly signal?: AbortSignal | undefined
}

export interface CaseResult extends BenchResult {
  readonly op: string
  readonly shape: string
}

/** How often a run does it: with other weights each time if they are to be cold. */
export function repeatsOf({ inputs, work }: Pick<Case, 'inputs' | 'work'>): number {
  const coldest = Object.values(inputs).filter((input) => input.cold)
  if (coldest.length) return Math.ceil(coldBytes / coldest.reduce((sum, { shape }) => sum + bytesOf(...shape), 0))
  const estimate = work.flops / slow.flopsPerMs + bytesMoved(work) / slow.bytesPerMs
  return Math.max(1, Math.min(mostRepeats, Math.ceil(repeatMs / Math.max(estimate, 1e-6))))
}

/** Times the native instruction of a case, off the event loop. */
export async function runCase(given: Case, { machine, time, signal }: RunCaseOptions): Promise<CaseResult> {
  const { op, name, shape, dtype, work } = given
  const repeats = repeatsOf(given)
  const data = makeInputs(given.inputs, repeats)
  // What each repeat makes is read once, so that it is not left out, and stays in the memory of the program.
  const program = compile((sets: readonly Tensors[]) => concat(sets.map((set) => reshape(oneOf(given.run(set)), [1]))))
  const coldest = Object.values(given.inputs).some((input) => input.cold)
  const workingSet = workingSetOf(work) * (coldest ? repeats : 1)
  const once = async (): Promise<{ overriddenDuration: number; overriddenIterationCost: number }> => {
    const start = performance.now()
    program.setProfiling(true)
    const result = await program.run(data as never, signal ? { signal } : {})
    result.dispose()
    const times = program
      .profile()
      .filter(({ instruction }) => instruction === given.instruction)
      .map(({ nanoseconds }) => nanoseconds * 1e-6)
      .toSorted((a, b) => a - b)
      // Reading one element may take the same instruction.
      .slice(-repeats)
    program.setProfiling(false)
    return { overriddenDuration: times[times.length >> 1]!, overriddenIterationCost: performance.now() - start }
  }
  try {
    return { op, shape, ...(await benchWork(name, once, { ...work, workingSet, dtype, time, signal, machine })) }
  } finally {
    program.dispose()
    for (const x of new Set(data.flatMap((set) => Object.values(set)))) x.dispose()
  }
}

/** One element. */
const oneOf = (x: Tensor): Tensor => mean(x.shape.reduce((part: Tensor, _, axis) => slice(part, axis, 0, 1), x))

/** The inputs of each repeat; all but the cold ones are the same tensors. */
function makeInputs(inputs: Readonly<Record<string, Input>>, repeats: number): Record<string, Tensor>[] {
  const random = new Random(1)
  const block = Float32Array.from({ length: 4096 }, () => random.normal())
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
  const warm = Object.entries(inputs)
    .filter(([, input]) => !input.cold)
    .map(([name, input]) => [name, make(input)] as const)
  const coldest = Object.entries(inputs).filter(([, input]) => input.cold)
  return Array.from({ length: repeats }, () =>
    Object.fromEntries([...warm, ...coldest.map(([name, input]) => [name, make(input)] as const)]),
  )
}
