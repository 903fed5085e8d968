import { Random } from '../../lib/tensor/random.ts'
import type { Case } from './case.ts'
import type { Data, GuardedProgram, Inputs } from './guarded-program.ts'

/** Runs with changed numbers. */
const samples = 4
const unitInLastPlace = 2 ** -23
/** Kernels may take what is below the smallest normal number for 0, and multiply it by something then. */
const underflow = 2 ** -113
const largest = (2 - 2 ** -23) * 2 ** 127

/** What f32 may give: `expected`, in f64, give or take `error`. */
export interface Expectation {
  readonly expected: Data
  readonly error: Float64Array
}

export interface Tolerance extends Pick<Case, 'cancels' | 'rounding'> {
  readonly ulps: number
}

/**
 * How far results in f32 may be from those in f64. Storing in f32 rounds every number that lies in memory between two
 * instructions: the f64 program runs again, a few times, with each of these numbers changed by up to one unit in the
 * last place (Monte Carlo arithmetic; Parker 1997). The largest change of a result is what rounding costs; an
 * instruction may cost `ulps` times as much.
 */
export function expectation(
  program: GuardedProgram,
  inputs: Inputs,
  { ulps, cancels = 0, rounding }: Tolerance,
): Expectation[] {
  const random = new Random(1)
  const round = (data: Float64Array): void => {
    for (let i = 0; i < data.length; i++)
      data[i]! *= 1 + unitInLastPlace * (random.uniform() < 0.5 ? -1 : 1) * (0.5 + random.uniform() / 2)
  }
  const results = program.run(inputs)
  const changed = Array.from({ length: rounding === false ? 0 : samples }, () => program.runChanged(inputs, round))
  return results.map((expected, k) => {
    const error = Float64Array.from(expected, (y, i) => {
      let change = 0
      for (const sample of changed) change = Math.max(change, finite(sample[k]![i]! - y))
      return ulps * (change + unitInLastPlace * (finite(y) + cancels)) + underflow
    })
    return { expected, error }
  })
}

/** No arithmetic, or one operation that rounds correctly. */
export function exactly(program: GuardedProgram, inputs: Inputs): Expectation[] {
  return program.run(inputs).map((y) => ({ expected: y.map(Math.fround), error: new Float64Array(y.length) }))
}

const finite = (x: number): number => (Number.isFinite(x) ? Math.abs(x) : 0)

/** What is wrong with `actual`, or undefined. It may be off `factor` times as far as expected. */
export function mismatch(actual: ArrayLike<number>, { expected, error }: Expectation, factor = 1): string | undefined {
  if (actual.length !== expected.length) return `expected ${expected.length} elements, got ${actual.length}`
  for (let i = 0; i < expected.length; i++) {
    const [is, should] = [actual[i]!, expected[i]!]
    const tolerance = factor * error[i]!
    if (!agree(is, should, tolerance))
      return `element ${i} of ${expected.length} is ${is}, expected ${should} ± ${tolerance}`
  }
  return undefined
}

function agree(is: number, should: number, error: number): boolean {
  if (Number.isNaN(should)) return Number.isNaN(is)
  if (Math.abs(is) === Infinity)
    return is === should || (Math.sign(is) === Math.sign(should) && Math.abs(should) + error > largest)
  return is === should || Math.abs(is - should) <= error
}
