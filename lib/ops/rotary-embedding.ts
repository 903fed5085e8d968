import { ShapeError, checkNumber, checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import { formatShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkTensor, defineOp, like, numbers } from './define-op.ts'

const rotaryOp = defineOp({
  name: 'rotaryEmbedding',
  operands: [
    { name: 'x', kind: 'float', layout: 'rows' },
    { name: 'positions', kind: 'index', layout: 'contiguous' },
    { name: 'frequencies', kind: 'float', layout: 'contiguous' },
  ],
  outputs: [{ name: 'y', layout: 'rows', inPlace: ['x'], order: [0, 2, 1, 3] }],
  infer: ([x, positions, frequencies]) => {
    checkRank('rotaryEmbedding', 'x', x!, 4)
    checkRank('rotaryEmbedding', 'positions', positions!, 1, 2)
    checkRank('rotaryEmbedding', 'frequencies', frequencies!, 1)
    const [batch, , length, headDim] = x!.shape as [number, number, number, number]
    const expected = positions!.shape.length === 1 ? [length] : [batch, length]
    if (positions!.shape.some((d, i) => d !== expected[i]))
      throw new ShapeError(
        `rotaryEmbedding: positions should have shape [${length}] or [${batch}, ${length}] for x ${formatShape(x!.shape)}, got ${formatShape(positions!.shape)}`,
      )
    if (2 * frequencies!.shape[0]! > headDim)
      throw new ShapeError(
        `rotaryEmbedding: ${frequencies!.shape[0]} frequencies turn ${2 * frequencies!.shape[0]!} elements, but heads have ${headDim}`,
      )
    return [like(x!)]
  },
  gradient: ({ inputs: [, positions, frequencies], gradOutputs, attributes }) => [
    apply(rotaryOp, [gradOutputs[0], positions, frequencies], { ...attributes, inverse: !attributes['inverse'] })[0],
    undefined,
    undefined,
  ],
  lowering: { kind: 'instruction', instruction: 'rotary', attributes: numbers('interleaved', 'inverse', 'scale') },
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
  return apply(rotaryOp, [x, positions, frequencies], { interleaved, inverse: false, scale })[0]!
}
