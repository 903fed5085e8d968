import { ArgumentError, DTypeError, ShapeError, checkInteger, describe } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { TensorType, View } from '../graph/op.ts'
import { openShape } from '../graph/trace.ts'
import { broadcastShapes, checkAxis, checkShape, formatShape, sameShape, sizeOf, type Shape } from '../tensor/shape.ts'
import { gradientType } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkTensor, defineOp, like } from './define-op.ts'
import { fill } from './fill.ts'
import { sum } from './reduce.ts'

// ---- reshape --------------------------------------------------------------------------------------------------------

/** −1 stands for what is left. */
function resolveShape(operation: string, from: Shape, wanted: Shape): number[] {
  const size = sizeOf(from)
  const known = sizeOf(wanted.filter((d) => d !== -1))
  const open = wanted.filter((d) => d === -1).length
  const shape = wanted.map((d) => (d === -1 ? (known === 0 ? 0 : size / known) : d))
  if (open > 1 || !shape.every((d) => Number.isInteger(d) && d >= 0) || sizeOf(shape) !== size)
    throw new ShapeError(
      `${operation}: ${formatShape(from)} (${size} elements) does not reshape to ${formatShape(wanted)}`,
    )
  return shape
}

/** The strides that show the elements of `view`, in row-major order, as `shape`; undefined when no strides do. */
function reshapeView(view: View, shape: Shape): View | undefined {
  const from = view.shape.flatMap((d, i) => (d === 1 ? [] : [{ size: d, stride: view.strides[i]! }]))
  const strides = new Array<number>(shape.length).fill(0)
  if (sizeOf(shape) === 0) return { ...view, shape, strides }
  let axis = shape.length - 1
  while (from.length) {
    // A run of source dimensions that lie gapless in memory is one dimension; target dimensions divide it.
    let { size, stride } = from.pop()!
    const step = stride
    while (from.length && from.at(-1)!.stride === size * step) size *= from.pop()!.size
    for (stride = step; size > 1 && axis >= 0; axis--) {
      const d = shape[axis]!
      if (size % d !== 0) break
      strides[axis] = stride
      stride *= d
      size /= d
    }
    if (size !== 1) return undefined
  }
  return { ...view, shape, strides }
}

const reshapeOp = defineOp({
  name: 'reshape',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], { shape }) => [like(x!, resolveShape('reshape', x!.shape, shape as Shape))],
  gradient: ({ inputs, gradOutputs }) => [reshape(gradOutputs[0]!, openShape(inputs[0]!))],
  lowering: {
    kind: 'view',
    view: (input, output) => reshapeView(input, output.shape),
    inverse: (output, input) => reshapeView(output, input.shape),
  },
})

/** The same elements in row-major order under another shape; one dimension may be −1. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensor('reshape', 'x', x)
  if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d >= -1))
    throw new ShapeError(`reshape: expected a shape of whole numbers (one may be -1), got ${describe(shape)}`)
  return sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], { shape: [...shape] })[0]!
}

// ---- transpose ------------------------------------------------------------------------------------------------------

const inverseOf = (permutation: readonly number[]): number[] => permutation.map((_, axis) => permutation.indexOf(axis))
const permuteView = (view: View, axes: readonly number[]): View => ({
  shape: axes.map((a) => view.shape[a]!),
  strides: axes.map((a) => view.strides[a]!),
  offset: view.offset,
})

const transposeOp = defineOp({
  name: 'transpose',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], { axes }) => [
    like(
      x!,
      (axes as number[]).map((a) => x!.shape[a]!),
    ),
  ],
  gradient: ({ gradOutputs, attributes }) => [transpose(gradOutputs[0]!, inverseOf(attributes['axes'] as number[]))],
  lowering: {
    kind: 'view',
    view: (input, _, { axes }) => permuteView(input, axes as number[]),
    inverse: (output, _, { axes }) => permuteView(output, inverseOf(axes as number[])),
  },
})

/** Axes in another order; without one, the last two change places. */
export function transpose(x: Tensor, axes?: readonly number[]): Tensor {
  checkTensor('transpose', 'x', x)
  if (axes === undefined && x.rank < 2)
    throw new ShapeError(`transpose: expected at least two axes, got shape ${formatShape(x.shape)}`)
  const order = axes === undefined ? x.shape.map((_, i) => (i < x.rank - 2 ? i : 2 * x.rank - 3 - i)) : axes
  if (!Array.isArray(order)) throw new ArgumentError(`transpose: expected an array of axes, got ${describe(order)}`)
  const resolved = order.map((a) => checkAxis('transpose', a, x.rank))
  if (new Set(resolved).size !== x.rank || resolved.length !== x.rank)
    throw new ShapeError(`transpose: expected each of ${x.rank} axes once, got [${order.join(', ')}]`)
  return apply(transposeOp, [x], { axes: resolved })[0]!
}

// ---- slice and split ------------------------------------------------------------------------------------------------

const window = (view: View, axis: number, start: number, length: number): View => ({
  shape: view.shape.map((d, i) => (i === axis ? length : d)),
  strides: view.strides,
  offset: view.offset + start * view.strides[axis]!,
})

const sliceOp = defineOp({
  name: 'slice',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], { axis, start, end }) => {
    const size = x!.shape[axis as number]!
    const [from, to] = bounds(size, start as number, end as number)
    return [
      like(
        x!,
        x!.shape.map((d, i) => (i === axis ? to - from : d)),
      ),
    ]
  },
  gradient: ({ inputs, gradOutputs, attributes }) => {
    const { axis, start } = attributes as { axis: number; start: number }
    const size = inputs[0]!.shape[axis]!
    const before = start < 0 ? Math.max(0, start + size) : Math.min(start, size)
    return [pad(gradOutputs[0]!, axis, before, size - before - gradOutputs[0]!.shape[axis]!)]
  },
  lowering: {
    kind: 'view',
    view: (input, output, attributes) => {
      const { axis, start, end } = attributes as { axis: number; start: number; end: number }
      return window(input, axis, bounds(input.shape[axis]!, start, end)[0], output.shape[axis]!)
    },
  },
})

function bounds(size: number, start: number, end: number): [number, number] {
  const clamp = (i: number): number => Math.max(0, Math.min(size, i < 0 ? i + size : i))
  const from = clamp(start)
  return [from, Math.max(from, clamp(end))]
}

/** Elements `start` (included) to `end` (excluded) along an axis; negative ones count from the end, as in Array.slice. */
export function slice(x: Tensor, axis: number, start: number, end = Number.MAX_SAFE_INTEGER): Tensor {
  checkTensor('slice', 'x', x)
  checkInteger('slice', 'start', start, -Number.MAX_SAFE_INTEGER)
  checkInteger('slice', 'end', end, -Number.MAX_SAFE_INTEGER)
  return apply(sliceOp, [x], { axis: checkAxis('slice', axis, x.rank), start, end })[0]!
}

const splitOp = defineOp({
  name: 'split',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'parts', optional: true }],
  infer: ([x], { axis, sizes }) =>
    (sizes as number[]).map((size) =>
      like(
        x!,
        x!.shape.map((d, i) => (i === axis ? size : d)),
      ),
    ),
  gradient: ({ outputs, gradOutputs, attributes }) => [
    concat(
      outputs.map((output, i) => gradOutputs[i] ?? fill(output.shape, 0, gradientType(output.dtype))),
      attributes['axis'] as number,
    ),
  ],
  lowering: {
    kind: 'view',
    view: (input, output, attributes, index) => {
      const { axis, sizes } = attributes as { axis: number; sizes: number[] }
      const start = sizes.slice(0, index).reduce((a, b) => a + b, 0)
      return window(input, axis, start, output.shape[axis]!)
    },
  },
})

/** Consecutive pieces along an axis: `sections` equal ones, or pieces of the given sizes. */
export function split(x: Tensor, sections: number | readonly number[], axis = -1): Tensor[] {
  checkTensor('split', 'x', x)
  const along = checkAxis('split', axis, x.rank)
  const size = x.shape[along]!
  if (typeof sections !== 'number' && !Array.isArray(sections))
    throw new ArgumentError(`split: expected a number of parts or an array of sizes, got ${describe(sections)}`)
  const count = typeof sections === 'number' ? checkInteger('split', 'sections', sections, 1, Math.max(1, size)) : 0
  if (count && size % count !== 0)
    throw new ShapeError(`split: axis ${axis} of ${formatShape(x.shape)} does not divide into ${count} equal parts`)
  const sizes = count
    ? new Array<number>(count).fill(size / count)
    : [...(sections as number[])].map((s) => checkInteger('split', 'size', s, 0))
  if (sizes.reduce((a, b) => a + b, 0) !== size)
    throw new ShapeError(
      `split: sizes [${sizes.join(', ')}] should add up to ${size}, axis ${axis} of ${formatShape(x.shape)}`,
    )
  return apply(
    splitOp,
    [x],
    { axis: along, sizes },
    sizes.map((_, i) => i),
  )
}

// ---- concat and pad -------------------------------------------------------------------------------------------------

const concatOp = defineOp({
  name: 'concat',
  operands: [{ name: 'parts', kind: 'any', variadic: true }],
  outputs: [{ name: 'y' }],
  infer: (parts, attributes) => {
    const axis = attributes['axis'] as number
    const first = parts[0]!
    let size = 0
    for (const part of parts) {
      if (part!.dtype !== first.dtype)
        throw new DTypeError(`concat: expected tensors of one dtype, got ${first.dtype} and ${part!.dtype}`)
      if (part!.shape.some((d, i) => i !== axis && d !== first.shape[i]))
        throw new ShapeError(
          `concat: shapes ${formatShape(first.shape)} and ${formatShape(part!.shape)} should differ along axis ${axis} only`,
        )
      size += part!.shape[axis]!
    }
    return [
      like(
        first,
        first.shape.map((d, i) => (i === axis ? size : d)),
      ),
    ]
  },
  gradient: ({ inputs, gradOutputs, attributes }) => {
    const axis = attributes['axis'] as number
    return split(
      gradOutputs[0]!,
      inputs.map((part) => part!.shape[axis]!),
      axis,
    )
  },
  lowering: {
    kind: 'assemble',
    covers: () => true,
    window: (index, parts, output, attributes) => {
      const axis = attributes['axis'] as number
      const start = parts.slice(0, index).reduce((sum, part) => sum + part.shape[axis]!, 0)
      return window(output, axis, start, parts[index]!.shape[axis]!)
    },
  },
})

/** Tensors one after another along an axis. */
export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  if (!Array.isArray(parts) || parts.length === 0)
    throw new ArgumentError(`concat: expected an array of tensors, got ${describe(parts)}`)
  parts.forEach((part, i) => checkTensor('concat', `part ${i}`, part))
  for (const part of parts)
    if (part.rank !== parts[0].rank)
      throw new ShapeError(
        `concat: shapes ${formatShape(parts[0].shape)} and ${formatShape(part.shape)} should have the same rank`,
      )
  return apply(concatOp, parts, { axis: checkAxis('concat', axis, parts[0].rank) })[0]!
}

const padOp = defineOp({
  name: 'pad',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], attributes) => {
    const { axis, before, after } = attributes as { axis: number; before: number; after: number }
    return [
      like(
        x!,
        x!.shape.map((d, i) => (i === axis ? before + d + after : d)),
      ),
    ]
  },
  gradient: ({ inputs, gradOutputs, attributes }) => {
    const { axis, before } = attributes as { axis: number; before: number }
    return [slice(gradOutputs[0]!, axis, before, before + inputs[0]!.shape[axis]!)]
  },
  lowering: {
    kind: 'assemble',
    covers: (_inputs, _output, { before, after }) => before === 0 && after === 0,
    window: (_index, [x], output, attributes) => {
      const { axis, before } = attributes as { axis: number; before: number }
      return window(output, axis, before, x!.shape[axis]!)
    },
  },
})

/** Zeros before and after, along an axis. */
export function pad(x: Tensor, axis: number, before: number, after: number): Tensor {
  checkTensor('pad', 'x', x)
  checkInteger('pad', 'before', before, 0)
  checkInteger('pad', 'after', after, 0)
  return apply(padOp, [x], { axis: checkAxis('pad', axis, x.rank), before, after })[0]!
}

// ---- broadcast ------------------------------------------------------------------------------------------------------

const broadcastOp = defineOp({
  name: 'broadcastTo',
  operands: [{ name: 'x', kind: 'any' }],
  outputs: [{ name: 'y' }],
  infer: ([x], { shape }) => {
    if (!sameShape(broadcastShapes('broadcastTo', x!.shape, shape as Shape), shape as Shape))
      throw new ShapeError(`broadcastTo: ${formatShape(x!.shape)} does not stretch to ${formatShape(shape as Shape)}`)
    return [like(x!, shape as Shape)]
  },
  gradient: ({ inputs, gradOutputs }) => [reduceTo(gradOutputs[0]!, inputs[0]!)],
  lowering: {
    kind: 'view',
    view: (input, output) => {
      const offset = output.shape.length - input.shape.length
      const strides = output.shape.map((d, axis) =>
        axis < offset || (input.shape[axis - offset] === 1 && d !== 1) ? 0 : input.strides[axis - offset]!,
      )
      return { shape: output.shape, strides, offset: input.offset }
    },
  },
})

/** Repeats along dimensions of size 1 and new leading ones, without copying. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  checkTensor('broadcastTo', 'x', x)
  return apply(broadcastOp, [x], { shape: checkShape('broadcastTo', shape) })[0]!
}

/** The gradient of a tensor of type `target` that was broadcast: summed over where it was stretched. */
export function reduceTo(gradient: Tensor, { shape }: TensorType): Tensor {
  if (sameShape(gradient.shape, shape)) return gradient
  const offset = gradient.rank - shape.length
  const stretched = (axis: number): boolean =>
    axis < offset || (shape[axis - offset] === 1 && gradient.shape[axis] !== 1)
  const axes = gradient.shape.map((_, axis) => axis).filter(stretched)
  return reshape(axes.length ? sum(gradient, { axis: axes, keepDims: true }) : gradient, shape)
}
