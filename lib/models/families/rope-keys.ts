import { ArgumentError, describe, FileError } from '../../errors.ts'
import { isObject } from '../../files/read-file.ts'
import type { DecoderConfig, ResolvedDecoderConfig } from '../decoder-config.ts'
import type { RopeScaling } from '../rope-scaling.ts'
import type { ConfigPart } from './family.ts'

type Json = Readonly<Record<string, unknown>>

export interface RopeKeys {
  /** The base that a file without one means, 10,000 unless said, and the key of old files. */
  readonly theta?: number
  readonly thetaKey?: string
  /** The share of each head that is turned: the key of old files, and what a file without it means. None: all of it. */
  readonly share?: { readonly key: string; readonly default: number }
  /** Layers with a window have a base of their own, by this key in old files. */
  readonly local?: { readonly key: string; readonly default: number }
  /** The only scalings that the family knows; all unless said. */
  readonly types?: readonly RopeScaling['type'][]
  /** Other names of longrope. */
  readonly longropeAliases?: readonly string[]
  /** original_max_position_embeddings stands beside the parameters. */
  readonly originalOutside?: true
}

const typeNames: Readonly<Record<string, RopeScaling['type']>> = {
  default: 'none',
  linear: 'linear',
  dynamic: 'dynamic',
  yarn: 'yarn',
  llama3: 'llama3',
  longrope: 'longrope',
}

/** Keys that are read, for some type or other. */
const knownKeys = [
  'rope_type',
  'type',
  'rope_theta',
  'partial_rotary_factor',
  'factor',
  'original_max_position_embeddings',
  'attention_factor',
  'beta_fast',
  'beta_slow',
  'mscale',
  'mscale_all_dim',
  'truncate',
  'low_freq_factor',
  'high_freq_factor',
  'short_factor',
  'long_factor',
  'finetuned',
]

/**
 * Rotary positions as config.json tells them: `rope_parameters` of new files, `rope_theta` and `rope_scaling` of old ones, which count
 * where both are there, as in transformers. Both are written. `context` is what max_position_embeddings says, and for a
 * scaling that comes on top of it (linear, dynamic, and YaRN of that very length) `factor` times as much.
 */
export function rotaryPositions(keys: RopeKeys = {}): ConfigPart<DecoderConfig> {
  const { theta: defaultTheta = 1e4, thetaKey = 'rope_theta', share, local } = keys
  return {
    read(json, { context, headDim, hiddenSize, numHeads }, where) {
      const whole = parametersOf(json, where)
      const nested = local !== undefined && ('full_attention' in whole.given || 'sliding_attention' in whole.given)
      const given = nested ? objectAt(whole.given, 'full_attention', where) : whole.given
      const localGiven = nested ? objectAt(whole.given, 'sliding_attention', where) : {}
      const at = (key: string): string => `${where}: ${whole.key}.${key}`
      const unknown = Object.keys(given).find((key) => !knownKeys.includes(key) && given[key] !== null)
      if (unknown !== undefined)
        throw new ArgumentError(`${at(unknown)} is not supported; supported: ${knownKeys.join(', ')}`)
      if (localGiven['rope_type'] !== undefined && localGiven['rope_type'] !== 'default')
        throw new ArgumentError(
          `${at('sliding_attention.rope_type')} ${describe(localGiven['rope_type'])} is not supported; supported: "default"`,
        )
      const perHead = headDim ?? hiddenSize! / numHeads!
      const part =
        share &&
        numberOf(given['partial_rotary_factor'] ?? json[share.key] ?? share.default, at('partial_rotary_factor'))
      const others = share ? [] : [json['partial_rotary_factor'], given['partial_rotary_factor']]
      if (others.some((value) => value !== undefined && value !== null && value !== 1))
        throw new ArgumentError(
          `${where}: partial_rotary_factor other than 1 is not supported for this family; supported: 1`,
        )
      const scaling = readScaling(keys, json, given, context!, at)
      const theta = numberOf(given['rope_theta'] ?? json[thetaKey] ?? defaultTheta, at('rope_theta'))
      return {
        ropeTheta: theta,
        ropeScaling: scaling,
        context: extendedContext(scaling, context!, local !== undefined),
        ...(part !== undefined && { ropeDim: Math.trunc(perHead * part) }),
        ...(local && {
          localRopeTheta: numberOf(
            localGiven['rope_theta'] ?? json[local.key] ?? local.default,
            at(`sliding_attention.rope_theta`),
          ),
        }),
      }
    },
    write(config) {
      const { ropeTheta, ropeScaling: scaling, ropeDim, headDim, localRopeTheta } = config
      const part = shareOf(ropeDim, headDim)
      const common = { rope_theta: ropeTheta, ...(share && { partial_rotary_factor: part }) }
      const own = scaling.type === 'none' ? {} : writeScaling(scaling)
      const type = scaling.type === 'none' ? 'default' : scaling.type
      const parameters = { rope_type: type, ...common, ...own }
      const original = (scaling as { originalContext?: number }).originalContext
      return {
        rope_parameters: local
          ? {
              full_attention: parameters,
              sliding_attention: { rope_type: 'default', rope_theta: localRopeTheta },
            }
          : parameters,
        [thetaKey]: ropeTheta,
        ...(share && { [share.key]: part }),
        ...(local && { [local.key]: localRopeTheta }),
        ...(keys.originalOutside && original !== undefined && { original_max_position_embeddings: original }),
        ...(scaling.type !== 'none' && { rope_scaling: { type, rope_type: type, ...own } }),
        max_position_embeddings: statedContext(config, local !== undefined),
      }
    },
  }
}

function parametersOf(json: Json, where: string): { given: Json; key: string } {
  for (const key of ['rope_scaling', 'rope_parameters']) {
    const value = json[key]
    if (value === undefined || value === null) continue
    if (!isObject(value)) throw new FileError(`${where}: ${key} should be an object, got ${describe(value)}`)
    if (Object.keys(value).length) return { given: value as Json, key }
  }
  return { given: {}, key: 'rope_parameters' }
}

function objectAt(json: Json, key: string, where: string): Json {
  const value = json[key] ?? {}
  if (!isObject(value))
    throw new FileError(`${where}: rope_parameters.${key} should be an object, got ${describe(value)}`)
  return value as Json
}

function numberOf(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new FileError(`${what} should be a number, got ${describe(value)}`)
  return value
}

function readScaling(
  keys: RopeKeys,
  json: Json,
  given: Json,
  context: number,
  at: (key: string) => string,
): RopeScaling {
  const name = given['rope_type'] ?? given['type'] ?? 'default'
  const typeKey = given['rope_type'] === undefined ? 'type' : 'rope_type'
  const isAlias = typeof name === 'string' && keys.longropeAliases?.includes(name)
  const type = isAlias ? 'longrope' : Object.hasOwn(typeNames, String(name)) ? typeNames[String(name)]! : undefined
  const types = keys.types ?? Object.values(typeNames)
  if (type === undefined || !types.includes(type)) {
    const supported = Object.keys(typeNames).filter((known) => types.includes(typeNames[known]!))
    throw new ArgumentError(`${at(typeKey)} ${describe(name)} is not supported; supported: ${supported.join(', ')}`)
  }
  const number = (key: string): number => numberOf(given[key], at(key))
  const maybe = (key: string): number | undefined =>
    given[key] === undefined || given[key] === null ? undefined : number(key)
  const outside = keys.originalOutside ? json['original_max_position_embeddings'] : undefined
  const original = (): number => {
    const value = outside ?? given['original_max_position_embeddings'] ?? context
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number
    const what = at('original_max_position_embeddings')
    throw new FileError(`${what} should be a whole number of at least 1, got ${describe(value)}`)
  }
  switch (type) {
    case 'none':
      if (maybe('factor') !== undefined && maybe('factor') !== 1)
        throw new ArgumentError(`${at('factor')} ${maybe('factor')} is not supported without a rope_type; supported: 1`)
      return { type }
    case 'linear':
      return { type, factor: number('factor') }
    case 'dynamic':
      return { type, factor: number('factor'), originalContext: context }
    case 'llama3':
      return {
        type,
        factor: number('factor'),
        lowFreqFactor: number('low_freq_factor'),
        highFreqFactor: number('high_freq_factor'),
        originalContext: original(),
      }
    case 'yarn': {
      const factor = maybe('factor') ?? context / original()
      const [mscale, mscaleAll] = [maybe('mscale'), maybe('mscale_all_dim')]
      const magnitude = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1)
      const attentionFactor =
        maybe('attention_factor') ?? (mscale && mscaleAll ? magnitude(mscale) / magnitude(mscaleAll) : undefined)
      const { truncate } = given
      return {
        type,
        factor,
        originalContext: original(),
        ...(attentionFactor !== undefined && { attentionFactor }),
        ...(maybe('beta_fast') && { betaFast: number('beta_fast') }),
        ...(maybe('beta_slow') && { betaSlow: number('beta_slow') }),
        ...(truncate !== undefined && truncate !== null && { truncate: truncate as boolean }),
      }
    }
    case 'longrope': {
      const originalContext = original()
      const factor = maybe('factor') ?? context / originalContext
      return {
        type,
        shortFactor: given['short_factor'] as number[],
        longFactor: given['long_factor'] as number[],
        originalContext,
        attentionFactor: maybe('attention_factor') ?? longropeAttentionFactor(factor, originalContext),
      }
    }
  }
}

const longropeAttentionFactor = (factor: number, original: number): number =>
  factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))

function writeScaling(scaling: Exclude<RopeScaling, { type: 'none' }>): Json {
  switch (scaling.type) {
    case 'linear':
    case 'dynamic':
      return { factor: scaling.factor }
    case 'llama3':
      return {
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalContext,
      }
    case 'yarn': {
      const { factor, originalContext, attentionFactor, betaFast, betaSlow, truncate } = scaling
      return {
        factor,
        original_max_position_embeddings: originalContext,
        ...(attentionFactor !== undefined && { attention_factor: attentionFactor }),
        ...(betaFast !== undefined && { beta_fast: betaFast }),
        ...(betaSlow !== undefined && { beta_slow: betaSlow }),
        ...(truncate !== undefined && { truncate }),
      }
    }
    case 'longrope':
      return {
        short_factor: scaling.shortFactor,
        long_factor: scaling.longFactor,
        attention_factor: scaling.attentionFactor,
        original_max_position_embeddings: scaling.originalContext,
      }
  }
}

/** A share of a head of which as many elements are turned. */
function shareOf(ropeDim: number, headDim: number): number {
  const exact = ropeDim / headDim
  return Math.trunc(headDim * exact) === ropeDim ? exact : (ropeDim + 0.5) / headDim
}

/** Most tokens, where max_position_embeddings says `stated`. */
function extendedContext(scaling: RopeScaling, stated: number, isWhole: boolean): number {
  const comesOnTop =
    scaling.type === 'linear' ||
    scaling.type === 'dynamic' ||
    (scaling.type === 'yarn' && scaling.originalContext === stated)
  return comesOnTop && !isWhole && scaling.factor > 1 ? Math.trunc(stated * scaling.factor) : stated
}

/** The inverse, as far as there is one. */
function statedContext({ ropeScaling: scaling, context }: ResolvedDecoderConfig, isWhole: boolean): number {
  if (scaling.type === 'dynamic') return scaling.originalContext
  if (scaling.type === 'linear' && !isWhole && scaling.factor > 1) return Math.round(context / scaling.factor)
  if (scaling.type === 'yarn' && scaling.factor > 1 && context === Math.trunc(scaling.originalContext * scaling.factor))
    return scaling.originalContext
  return context
}
