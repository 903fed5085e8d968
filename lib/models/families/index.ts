import { ArgumentError, describe, FileError } from '../../errors.ts'
import type { ResolvedDecoderConfig } from '../decoder-model.ts'
import { writeConfig } from './config-mapping.ts'
import type { Family } from './family.ts'
import { gpt2 } from './gpt2.ts'
import { llama } from './llama.ts'

export { readConfig, writeConfig } from './config-mapping.ts'
export type { Family } from './family.ts'
export { weightEntries, type WeightEntry } from './weight-names.ts'

/** Every family that is known. */
export const families: readonly Family[] = [gpt2, llama]

/**
 * The family that a config.json belongs to. `where` begins the message of every error. Throws ArgumentError, which
 * says what is supported, for a model_type or architecture that is not; FileError when there is none.
 */
export function familyOfFile(json: Readonly<Record<string, unknown>>, where: string): Family {
  const { model_type: modelType, architectures } = json
  if (typeof modelType !== 'string')
    throw new FileError(`${where}: model_type should be a string, got ${describe(modelType)}`)
  const family = families.find((known) => known.modelType === modelType)
  if (!family)
    throw new ArgumentError(
      `${where}: model_type ${describe(modelType)} is not supported; supported: ${families.map((known) => known.modelType).join(', ')}`,
    )
  if (architectures === undefined || architectures === null) return family
  if (!Array.isArray(architectures))
    throw new FileError(`${where}: architectures should be a list of names, got ${describe(architectures)}`)
  if (architectures.length && !architectures.some((name) => family.architectures.includes(name as string)))
    throw new ArgumentError(
      `${where}: architecture ${architectures.map(describe).join(', ')} is not supported; supported: ${families.flatMap((known) => known.architectures).join(', ')}`,
    )
  return family
}

/** The family whose files can hold a model of this configuration, and its config.json. Throws ArgumentError when none can. */
export function familyOfConfig(
  operation: string,
  config: ResolvedDecoderConfig,
): { family: Family; json: Readonly<Record<string, unknown>> } {
  const reasons: string[] = []
  for (const family of families)
    try {
      return { family, json: writeConfig(family, config) }
    } catch (error) {
      reasons.push((error as Error).message)
    }
  throw new ArgumentError(`${operation}: no supported family of checkpoints holds this model; ${reasons.join('; ')}`)
}
