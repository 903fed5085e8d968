import { expect } from 'vitest'
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
