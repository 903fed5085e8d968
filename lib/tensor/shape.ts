import { ShapeError, describe } from '../errors.ts'

/** Dimensions, outermost first. */
export type Shape = readonly number[]

/** The addon's limit on the rank of an operand. */
export const maxRank = 6

export function sizeOf(shape: Shape): number {
  let n = 1
  for (const d of shape) n *= d
  return n
}

/** Row-major strides in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step
    step *= shape[d]!
  }
  return strides
}

export function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false
    step *= shape[d]!
  }
  return true
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i])
}

export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`

/** A copy of `shape` if every dimension is a whole number ≥ 0, the rank is at most 6 and the size is exact. */
export function checkShape(operation: string, shape: unknown): number[] {
  if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d >= 0))
    throw new ShapeError(`${operation}: expected a shape of whole numbers of at least 0, got ${describe(shape)}`)
  if (shape.length > maxRank)
    throw new ShapeError(`${operation}: expected a rank of at most ${maxRank}, got ${formatShape(shape)}`)
  if (!Number.isSafeInteger(sizeOf(shape.map((d: number) => Math.max(d, 1))) * 8))
    throw new ShapeError(`${operation}: a tensor of shape ${formatShape(shape)} is too large`)
  return [...(shape as number[])]
}

/** `axis` as an index from 0, negative ones counting from the end. */
export function checkAxis(operation: string, axis: unknown, rank: number): number {
  if (typeof axis !== 'number' || !Number.isInteger(axis) || axis < -rank || axis >= rank)
    throw new ShapeError(
      `${operation}: axis should be an integer from ${-rank} to ${rank - 1} for rank ${rank}, got ${describe(axis)}`,
    )
  return axis < 0 ? axis + rank : axis
}

/** NumPy broadcasting: dimensions are aligned at the end; 1 stretches. */
export function broadcastShapes(operation: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1)
      throw new ShapeError(
        `${operation}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast: ${x} against ${y}; make these dimensions equal, or one of them 1`,
      )
    return x === 1 ? y : x
  })
}
