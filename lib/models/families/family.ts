import { ArgumentError, describe } from '../../errors.ts'
import type { Activation } from '../../ops/index.ts'
import type { DecoderConfig, ResolvedDecoderConfig } from '../decoder-model.ts'

export type HuggingFaceConfig = Readonly<Record<string, unknown>>

/** Where a tensor of a checkpoint belongs: all of a parameter, or a range of its rows. */
export interface WeightName {
  readonly name: string
  readonly path: string
  /** The checkpoint has it the other way round, [in, out]. */
  readonly transpose?: boolean
  /** From this row of the parameter on; the checkpoint's tensor says how many. */
  readonly rows?: readonly [number, number]
}

/** A model family: how its config.json and its weight names map to the one decoder. A table, not a class. */
export interface DecoderFamily {
  readonly modelType: string
  readonly architecture: string
  /** Throws ArgumentError for what changes the mathematics and is not supported. */
  fromHuggingFace(config: HuggingFaceConfig): DecoderConfig
  toHuggingFace(config: ResolvedDecoderConfig): Record<string, unknown>
  weightNames(config: ResolvedDecoderConfig): WeightName[]
  /** Names may come without it: checkpoints of the bare model. */
  readonly optionalPrefix?: string
}

/** Hugging Face's names of activations. */
const activationNames: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
}

export function activationFrom(family: string, field: string, value: unknown): Activation {
  const activation = activationNames[value as string]
  if (!activation)
    throw new ArgumentError(
      `${family}: ${field} should be one of ${Object.keys(activationNames).join(', ')}, got ${describe(value)}`,
    )
  return activation
}

export const activationTo = (activation: Activation): string =>
  Object.keys(activationNames).find((name) => activationNames[name] === activation) ?? activation

/** Throws ArgumentError for a field whose value would change the mathematics. `allowed`: the values that do not. */
export function refuseUnless(
  family: string,
  config: HuggingFaceConfig,
  field: string,
  allowed: readonly unknown[],
): void {
  const value = config[field]
  if (value !== undefined && value !== null && !allowed.includes(value))
    throw new ArgumentError(
      `${family}: ${field} ${describe(value)} is not supported; supported: ${allowed.map(describe).join(', ')}`,
    )
}

export function requireNumber(family: string, config: HuggingFaceConfig, field: string): number {
  const value = config[field]
  if (typeof value !== 'number')
    throw new ArgumentError(`${family}: config.json should have a number ${field}, got ${describe(value)}`)
  return value
}

export const optionalNumber = (family: string, config: HuggingFaceConfig, field: string): number | undefined =>
  config[field] === undefined || config[field] === null ? undefined : requireNumber(family, config, field)

/** An object without the keys whose value is undefined. */
export const defined = <T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never
