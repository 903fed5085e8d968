import { ShapeError, checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { formatShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp, like, numbers } from './define-op.ts'

/** Cosines and sines of positions [length] or [batch, length]: […, 2n], of each row n of the ones, then n of the others. */
const rotaryAnglesOp = defineOp({
  name: 'rotaryEmbedding angles',
  operands: [
    { name: 'positions', kind: 'index', layout: 'contiguous' },
    { name: 'frequencies', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [{ name: 'angles', layout: 'contiguous' }],
  infer: ([positions, frequencies]) => {
    checkRank('rotaryEmbedding', 'positions', positions!, 1, 2)
    checkRank('rotaryEmbedding', 'frequencies', frequencies!, 1)
    return [like(frequencies!, [...positions!.shape, 2 * frequencies!.shape[0]!])]
  },
  gradient: () => [undefined, undefined],
  lowering: { kind: 'instruction', instruction: 'rotaryAngles', attributes: numbers('scale') },
})

const rotaryOp = defineOp({
  name: 'rotaryEmbedding',
  operands: [
    { name: 'x', kind: 'float', layout: 'rows' },
    { name: 'angles', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [{ name: 'y', layout: 'rows', inPlace: ['x'], order: [0, 2, 1, 3] }],
  infer: ([x, angles]) => {
    checkRank('rotaryEmbedding', 'x', x!, 4)
    const [batch, , length, headDim] = x!.shape as [number, number, number, number]
    const [positions, turned] = [angles!.shape.slice(0, -1), angles!.shape.at(-1)!]
    const expected = positions.length === 1 ? [length] : [batch, length]
    if (positions.some((d, i) => d !== expected[i]))
      throw new ShapeError(
        `rotaryEmbedding: positions should have shape [${length}] or [${batch}, ${length}] for x ${formatShape(x!.shape)}, got ${formatShape(positions)}`,
      )
    if (turned > headDim)
      throw new ShapeError(
        `rotaryEmbedding: ${turned / 2} frequencies turn ${turned} elements, but heads have ${headDim}`,
      )
    return [like(x!)]
  },
  gradient: ({ inputs: [, angles], gradOutputs, attributes }) => [
    apply(rotaryOp, [gradOutputs[0], angles], { ...attributes, inverse: !attributes['inverse'] })[0],
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'rotary', attributes: numbers('interleaved', 'inverse') },
})

export interface RotaryOptions {
  /** Pairs (2i, 2i + 1), as in the paper; otherwise (i, i + n), n the number of frequencies, as Llama's checkpoints have it. */
  interleaved?: boolean
  /** What the turned elements are multiplied by, 1 unless said: the attention factor of YaRN and LongRoPE. */
  scale?: number
}

/**
 * Rotary position embedding (Su et al. 2021): turns pair i of each head by positions[t] · frequencies[i], and multiplies
 * it by `scale`: (a, b) ↦ scale · (a · cos − b · sin, b · cos + a · sin).
 * x [batch, heads, length, headDim]; positions i32 [length] or [batch, length]; frequencies [n], 2n ≤ headDim: any table,
 * of the paper θ^(−2i/d). Elements from 2n on stay as they are. frequencies get no gradient.
 */
export function rotaryEmbedding(
  x: Tensor,
  positions: Tensor,
  frequencies: Tensor,
  options: RotaryOptions = {},
): Tensor {
  checkTensor('rotaryEmbedding', 'x', x)
  checkTensor('rotaryEmbedding', 'positions', positions)
  checkTensor('rotaryEmbedding', 'frequencies', frequencies)
  checkOptions('rotaryEmbedding', options, { interleaved: 'boolean', scale: 'any' })
  const { interleaved = false, scale = 1 } = options
  checkNumber('rotaryEmbedding', 'scale', scale)
  const angles = apply(rotaryAnglesOp, [positions, frequencies], { scale })[0]!
  return apply(rotaryOp, [x, angles], { interleaved, inverse: false })[0]!
}
