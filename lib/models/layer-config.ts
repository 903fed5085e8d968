import { ArgumentError, checkInteger, checkNumber, describe } from '../errors.ts'
import { maxLayers } from '../nn/module.ts'
import { checkActivation } from '../ops/matmul.ts'
import type { Activation } from '../ops/index.ts'

/** What the layers of all models have in common: everything that tells those of one family from another's. */
export interface LayerConfig {
  hiddenSize: number
  numLayers: number
  numHeads: number
  /** numHeads unless said. */
  numKeyValueHeads?: number
  /** hiddenSize / numHeads unless said. */
  headDim?: number
  /** 4·hiddenSize unless said. */
  intermediateSize?: number
  norm?: 'layer' | 'rms'
  normEpsilon?: number
  activation?: Activation
  /** Gated feed-forward (SwiGLU and its kin). */
  gated?: boolean
  /** Of linear layers and layer norms. */
  bias?: boolean
  /** One projection for queries, keys and values, and one for gate and up, instead of separate ones. */
  joined?: boolean
  /** The layers' weights are kept as [inputs, outputs], as GPT-2's checkpoints have them. */
  inputsFirst?: boolean
  dropout?: number
}

export const layerDefaults = {
  norm: 'layer',
  normEpsilon: 1e-5,
  activation: 'gelu',
  gated: false,
  bias: true,
  joined: false,
  inputsFirst: false,
  dropout: 0,
} as const

/** The types of the options, as `checkOptions` takes them. */
export const knownLayerConfig = {
  hiddenSize: 'any',
  numLayers: 'any',
  numHeads: 'any',
  numKeyValueHeads: 'any',
  headDim: 'any',
  intermediateSize: 'any',
  norm: 'any',
  normEpsilon: 'any',
  activation: 'any',
  gated: 'boolean',
  bias: 'boolean',
  joined: 'boolean',
  inputsFirst: 'boolean',
  dropout: 'any',
} as const satisfies Record<keyof LayerConfig, unknown>

/** What follows from the sizes that were given, or undefined where `given` says it. */
export function derivedSizes(operation: string, given: LayerConfig): Required<Pick<LayerConfig, Derived>> {
  for (const name of ['hiddenSize', 'numLayers', 'numHeads'] as const)
    checkInteger(operation, name, given[name], 1, name === 'numLayers' ? maxLayers : undefined)
  const { hiddenSize, numHeads } = given
  return { numKeyValueHeads: numHeads, headDim: hiddenSize / numHeads, intermediateSize: 4 * hiddenSize }
}
type Derived = 'numKeyValueHeads' | 'headDim' | 'intermediateSize'

/** Throws ArgumentError, which names the field, for what makes no sense. */
export function checkLayerConfig(operation: string, config: Required<LayerConfig>): void {
  const { numHeads, numKeyValueHeads, headDim } = config
  checkInteger(operation, 'headDim (hiddenSize / numHeads)', headDim, 1, 256)
  checkInteger(operation, 'numKeyValueHeads', numKeyValueHeads, 1, numHeads)
  if (numHeads % numKeyValueHeads !== 0)
    throw new ArgumentError(
      `${operation}: numHeads (${numHeads}) should be a multiple of numKeyValueHeads (${numKeyValueHeads})`,
    )
  checkInteger(operation, 'intermediateSize', config.intermediateSize, 1)
  checkNumber(operation, 'normEpsilon', config.normEpsilon, 0)
  checkNumber(operation, 'dropout', config.dropout, 0, 0.999999)
  checkActivation(operation, config.activation)
  checkChoice(operation, 'norm', config.norm, ['layer', 'rms'])
}

/** Throws ArgumentError unless a model's windows make sense. */
export function checkWindowLayers(
  operation: string,
  { numLayers, window, windowLayers }: { numLayers: number; window: number; windowLayers: readonly boolean[] },
): void {
  checkInteger(operation, 'window', window, 0, 2 ** 31 - 1)
  checkByLayer(operation, 'windowLayers', windowLayers, numLayers)
  if (!window && windowLayers.includes(true))
    throw new ArgumentError(`${operation}: windowLayers need a window, how many tokens they see`)
}

export function checkChoice(operation: string, name: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    throw new ArgumentError(`${operation}: ${name} should be one of ${choices.join(', ')}, got ${describe(value)}`)
}

export function checkByLayer(operation: string, name: string, given: unknown, numLayers: number): void {
  if (!Array.isArray(given) || given.length !== numLayers || !given.every((value) => typeof value === 'boolean'))
    throw new ArgumentError(
      `${operation}: ${name} should be ${numLayers} booleans, one for each layer, got ${describe(given)}`,
    )
}
