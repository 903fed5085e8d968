import { ArgumentError, ShapeError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'
import type { RotaryOptions } from '../ops/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'

export interface RotaryConfig {
  /** The base of the frequencies θ^(−2i/d); 10,000 unless said. */
  theta?: number
  /** How many elements of each head are turned, an even number; all unless said. */
  dim?: number
  /** In place of theta and dim: the frequency of each pair, which turns as many first pairs of each head. */
  frequencies?: readonly number[]
  interleaved?: RotaryOptions['interleaved']
  scale?: RotaryOptions['scale']
}

export function rotaryFrequencies(config: RotaryConfig, headDim: number): Tensor {
  checkOptions('MultiHeadAttention: rope', config, {
    theta: 'any',
    dim: 'any',
    frequencies: 'any',
    interleaved: 'boolean',
    scale: 'any',
  })
  const { theta = 1e4, dim, frequencies, scale = 1 } = config
  checkNumber('MultiHeadAttention', 'rope.scale', scale)
  if (frequencies !== undefined) {
    if (config.theta !== undefined || dim !== undefined)
      throw new ArgumentError('MultiHeadAttention: rope takes frequencies or theta and dim, not both')
    return givenFrequencies(frequencies, headDim)
  }
  checkNumber('MultiHeadAttention', 'rope.theta', theta, 1)
  const turned = checkInteger('MultiHeadAttention', 'rope.dim', dim ?? headDim, 1, headDim)
  if (turned % 2 !== 0)
    throw new ShapeError(
      `MultiHeadAttention: rotary embedding turns pairs, so ${dim === undefined ? 'headDim' : 'rope.dim'} should be even, got ${turned}; choose an even ${dim === undefined ? 'headDim, or rope.dim' : 'number'}`,
    )
  return fromData(
    Array.from({ length: turned >> 1 }, (_, i) => theta ** ((-2 * i) / turned)),
    { dtype: 'f32' },
  )
}

function givenFrequencies(frequencies: readonly number[], headDim: number): Tensor {
  if (!Array.isArray(frequencies))
    throw new ArgumentError(
      `MultiHeadAttention: rope.frequencies should be an array of numbers, got ${describe(frequencies)}`,
    )
  frequencies.forEach((f, i) => checkNumber('MultiHeadAttention', `rope.frequencies[${i}]`, f))
  if (2 * frequencies.length > headDim)
    throw new ShapeError(
      `MultiHeadAttention: ${frequencies.length} rope.frequencies turn ${2 * frequencies.length} elements, but heads have ${headDim}`,
    )
  return fromData(frequencies, { dtype: 'f32' })
}

/**
 * 2^(−8i/n), i = 1 … n, for n heads; where n is no power of two, those of the one below and every other one of the one
 * above, as in the code of the paper.
 */
export function alibiSlopes(heads: number): Tensor {
  const geometric = (n: number): number[] => Array.from({ length: n }, (_, i) => 2 ** ((-8 * (i + 1)) / n))
  const below = 2 ** Math.floor(Math.log2(heads))
  const between = geometric(2 * below).filter((_, i) => i % 2 === 0)
  return fromData([...geometric(below), ...between.slice(0, heads - below)], { dtype: 'f32' })
}

export function counting(length: number): Tensor {
  return fromData(Int32Array.from({ length }, (_, i) => i))
}
