import { expect } from 'vitest'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation, norm } from './deviation.ts'

/** What a reference keeps of a tensor. */
export interface Summary {
  l2: number
  sum: number
  first5: number[]
}

/** Single elements are compared relative to the root mean square, or to themselves where they are larger. */
export function expectSummary(actual: ArrayLike<number>, { l2, sum, first5 }: Summary, tolerance: number, name: string) {
  const data = Array.from(actual)
  expect(deviation([norm(data)], [l2]), `${name}: norm`).toBeLessThan(tolerance)
  expect(Math.abs(data.reduce((a, b) => a + b, 0) - sum) / l2, `${name}: sum`).toBeLessThan(tolerance)
  const scale = l2 / Math.sqrt(data.length)
  first5.forEach((value, i) =>
    expect(Math.abs(data[i]! - value) / Math.max(scale, Math.abs(value)), `${name}[${i}]`).toBeLessThan(tolerance),
  )
}

/**
 * Every gradient is as its summary says, and disposed of. Those that are zero but for rounding are compared with the largest of all:
 * numbers added to all scores of a query, and parameters that are not used, which have no summary.
 */
export function expectGradients(
  gradients: ReadonlyMap<string, Tensor>,
  summaries: Readonly<Record<string, Summary>>,
  { tolerance, zero = tolerance, isZero }: { tolerance: number; zero?: number; isZero?: (name: string) => boolean },
) {
  const largest = Math.max(...Object.values(summaries).map(({ l2 }) => l2))
  for (const [name, gradient] of gradients) {
    const summary = summaries[name]
    const data = gradient.data()
    if (!summary || (isZero ? isZero(name) : summary.l2 < zero * largest))
      expect(norm(data) / largest, name).toBeLessThan(zero)
    else expectSummary(data, summary, tolerance, name)
    gradient.dispose()
  }
}
