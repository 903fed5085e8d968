import { ArgumentError, checkInteger, checkNumber, checkOptions, describe } from '../errors.ts'

/** Frequencies of rotary positions θ^(−2i/d), made to serve sequences longer than those of `originalContext` tokens. */
export type RopeScaling =
  | { readonly type: 'none' }
  /** Positions are divided by `factor` (Chen et al. 2023). */
  | { readonly type: 'linear'; readonly factor: number }
  /** θ grows with sequences of more than `originalContext` tokens ("dynamic NTK"). */
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalContext: number }
  /** Slow frequencies are divided by `factor`, fast ones are not (Peng et al. 2023, "NTK by parts"). */
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly originalContext: number
      /** What turned elements are multiplied by; 0.1·ln(factor) + 1 unless said. */
      readonly attentionFactor?: number
      /** Turns within originalContext from which on a frequency is left as it is, 32, and up to which it is divided, 1. */
      readonly betaFast?: number
      readonly betaSlow?: number
      /** The bounds are rounded to whole pairs; true unless said. */
      readonly truncate?: boolean
    }
  /** The same by wavelengths, as Llama 3.1 has it. */
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalContext: number
    }
  /** Each frequency has a divisor of its own, other ones for sequences of more than originalContext tokens (Ding et al. 2024). */
  | {
      readonly type: 'longrope'
      readonly shortFactor: readonly number[]
      readonly longFactor: readonly number[]
      readonly originalContext: number
      readonly attentionFactor: number
    }

const known: Readonly<Record<RopeScaling['type'], readonly string[]>> = {
  none: [],
  linear: ['factor'],
  dynamic: ['factor', 'originalContext'],
  yarn: ['factor', 'originalContext', 'attentionFactor', 'betaFast', 'betaSlow', 'truncate'],
  llama3: ['factor', 'lowFreqFactor', 'highFreqFactor', 'originalContext'],
  longrope: ['shortFactor', 'longFactor', 'originalContext', 'attentionFactor'],
}
/** They have a default. */
const optional = ['attentionFactor', 'betaFast', 'betaSlow', 'truncate']

/** Throws ArgumentError, which names the field, for what makes no sense with `pairs` of elements that are turned. */
export function checkRopeScaling(operation: string, scaling: RopeScaling, pairs: number): void {
  const type = (scaling as { type?: unknown } | null)?.type
  if (typeof type !== 'string' || !Object.hasOwn(known, type))
    throw new ArgumentError(
      `${operation}: ropeScaling.type should be one of ${Object.keys(known).join(', ')}, got ${describe(type)}`,
    )
  const names = known[type as RopeScaling['type']]
  checkOptions(`${operation}: ropeScaling`, scaling, ['type', ...names])
  for (const name of names) {
    const value = (scaling as Readonly<Record<string, unknown>>)[name]
    if (value === undefined && optional.includes(name) && type !== 'longrope') continue
    if (name === 'truncate') {
      if (typeof value !== 'boolean')
        throw new ArgumentError(`${operation}: ropeScaling.truncate should be true or false, got ${describe(value)}`)
    } else if (name === 'originalContext') checkInteger(operation, 'ropeScaling.originalContext', value, 1)
    else if (name.endsWith('Factor') && Array.isArray(value)) checkDivisors(operation, name, value, pairs)
    else if (name === 'shortFactor' || name === 'longFactor')
      throw new ArgumentError(`${operation}: ropeScaling.${name} should be ${pairs} numbers, got ${describe(value)}`)
    else if (!(checkNumber(operation, `ropeScaling.${name}`, value, 0) > 0))
      throw new ArgumentError(`${operation}: ropeScaling.${name} should be above 0, got 0`)
  }
  if (scaling.type === 'llama3' && !(scaling.lowFreqFactor < scaling.highFreqFactor))
    throw new ArgumentError(
      `${operation}: ropeScaling.lowFreqFactor (${scaling.lowFreqFactor}) should be below highFreqFactor (${scaling.highFreqFactor})`,
    )
}

function checkDivisors(operation: string, name: string, values: readonly unknown[], pairs: number): void {
  if (values.length !== pairs)
    throw new ArgumentError(
      `${operation}: ropeScaling.${name} should be ${pairs} numbers, one for each pair of elements that is turned, got ${values.length}`,
    )
  for (const [i, value] of values.entries())
    if (!(checkNumber(operation, `ropeScaling.${name}[${i}]`, value, 0) > 0))
      throw new ArgumentError(`${operation}: ropeScaling.${name}[${i}] should be above 0, got 0`)
}

/** Whether frequencies are others for long sequences than for short ones. */
export const dependsOnLength = ({ type }: RopeScaling): boolean => type === 'dynamic' || type === 'longrope'

/** What turned elements are multiplied by. */
export function attentionFactorOf(scaling: RopeScaling): number {
  if (scaling.type === 'longrope') return scaling.attentionFactor
  if (scaling.type !== 'yarn') return 1
  return scaling.attentionFactor ?? (scaling.factor <= 1 ? 1 : 0.1 * Math.log(scaling.factor) + 1)
}

/** The frequencies of the dim/2 pairs that are turned, for sequences of `length` tokens. */
export function ropeFrequencies(theta: number, dim: number, scaling: RopeScaling, length: number): number[] {
  const frequencies = (base: number): number[] => Array.from({ length: dim >> 1 }, (_, i) => base ** ((-2 * i) / dim))
  switch (scaling.type) {
    case 'none':
      return frequencies(theta)
    case 'linear':
      return frequencies(theta).map((f) => f / scaling.factor)
    case 'dynamic': {
      const { factor, originalContext } = scaling
      const growth = (factor * Math.max(length, originalContext)) / originalContext - (factor - 1)
      return frequencies(theta * growth ** (dim / (dim - 2)))
    }
    case 'yarn':
      return frequencies(theta).map((f, i) => {
        const kept = 1 - ramp(yarnBounds(theta, dim, scaling), i)
        return (f / scaling.factor) * (1 - kept) + f * kept
      })
    case 'llama3':
      return frequencies(theta).map((f) => llama3Frequency(f, scaling))
    case 'longrope': {
      const divisors = length > scaling.originalContext ? scaling.longFactor : scaling.shortFactor
      return frequencies(theta).map((f, i) => f / divisors[i]!)
    }
  }
}

type Scaling<T extends RopeScaling['type']> = Extract<RopeScaling, { type: T }>

/** The pairs that turn betaFast times and betaSlow times within the original context. */
function yarnBounds(theta: number, dim: number, scaling: Scaling<'yarn'>): [low: number, high: number] {
  const { originalContext, betaFast = 32, betaSlow = 1, truncate = true } = scaling
  const pairOf = (turns: number): number =>
    (dim * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const [low, high] = [pairOf(betaFast), pairOf(betaSlow)]
  return [Math.max(truncate ? Math.floor(low) : low, 0), Math.min(truncate ? Math.ceil(high) : high, dim - 1)]
}

const ramp = ([low, high]: readonly [number, number], i: number): number =>
  Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)))

function llama3Frequency(f: number, scaling: Scaling<'llama3'>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling
  const turns = (originalContext * f) / (2 * Math.PI)
  if (turns < lowFreqFactor) return f / factor
  if (turns > highFreqFactor) return f
  const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * f) / factor + smooth * f
}
