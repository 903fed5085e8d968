import { compile } from '../graph/compile.ts'
import { native } from '../native/load.ts'
import { cast } from '../ops/elementwise.ts'
import { mean } from '../ops/reduce.ts'
import { concat, reshape, slice } from '../ops/view.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { benchWork, type BenchResult } from './bench.ts'
import { bytesOf, isCold, type Case, type Tensors } from './case.ts'
import { makeInputs } from './case-inputs.ts'
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
export function repeatsOf({ inputs, raw, work }: Pick<Case, 'inputs' | 'raw' | 'work'>): number {
  if (isCold(inputs) || isCold(raw)) {
    const warm = Object.values(inputs).filter((input) => !input.cold)
    return Math.ceil(coldBytes / (work.read - warm.reduce((sum, { shape }) => sum + bytesOf(...shape), 0)))
  }
  const estimate = work.flops / slow.flopsPerMs + bytesMoved(work) / slow.bytesPerMs
  return Math.max(1, Math.min(mostRepeats, Math.ceil(repeatMs / Math.max(estimate, 1e-6))))
}

/**
 * The format whose peak bounds a computation with numbers of `dtype`, in the instruction set in use: numbers of 8 bits and
 * less are multiplied as int8, bf16 as pairs, where there is an instruction for it, the rest is widened to f32.
 */
export function computeFormatOf(dtype: string, formats: readonly string[] = native.computeFormats()): string {
  const format = /^(int|q)\d/.test(dtype) ? 'int8' : dtype
  return formats.includes(format) ? format : 'f32'
}

/** Times the native instruction of a case, off the event loop. */
export async function runCase(given: Case, { machine, time, signal }: RunCaseOptions): Promise<CaseResult> {
  const { op, name, shape, dtype, work } = given
  const repeats = repeatsOf(given)
  const { data, prepared, error, dispose } = makeInputs(given, repeats)
  // What each repeat makes is read once, so that it is not left out, and stays in the memory of the program.
  const program = compile((sets: readonly Tensors[]) =>
    concat(sets.map((set, i) => reshape(oneOf(given.run(set, prepared[i]!)), [1]))),
  )
  const workingSet = workingSetOf(work) * (isCold(given.inputs) || isCold(given.raw) ? repeats : 1)
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
    const roof = given.function ? { function: given.function } : { compute: computeFormatOf(dtype) }
    const benched = { ...work, ...roof, workingSet, dtype, time, signal, machine }
    return { op, shape, ...(await benchWork(name, once, benched)), ...(error !== undefined && { error }) }
  } finally {
    program.dispose()
    dispose()
  }
}

/** One element, as a number that `concat` can put beside others. */
export const oneOf = (x: Tensor): Tensor => {
  const element = x.shape.reduce((part: Tensor, _, axis) => slice(part, axis, 0, 1), x)
  return mean(x.dtype === 'i32' ? cast(element, 'f32') : element)
}
