import { ArgumentError, describe } from '../errors.ts'

/** What products multiply: their operands as they are, or rounded to bfloat16. Sums are f32 in any case. */
export const precisions = ['f32', 'bf16'] as const
export type Precision = (typeof precisions)[number]

export function checkPrecision(operation: string, precision: unknown): Precision {
  if (!precisions.includes(precision as Precision))
    throw new ArgumentError(
      `${operation}: precision should be one of ${precisions.join(', ')}, got ${describe(precision)}`,
    )
  return precision as Precision
}
