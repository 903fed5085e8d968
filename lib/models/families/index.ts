import { ArgumentError, describe, FileError } from '../../errors.ts'
import type { Module } from '../../nn/module.ts'
import { writeConfig } from './config-mapping.ts'
import type { Assembly, Family, HeadName } from './family.ts'
import { bart } from './bart.ts'
import { bert } from './bert.ts'
import { distilbert } from './distilbert.ts'
import { electra } from './electra.ts'
import { gemma2, gemma3 } from './gemma.ts'
import { gptNeox } from './gpt-neox.ts'
import { gpt2 } from './gpt2.ts'
import { llama } from './llama.ts'
import { marian } from './marian.ts'
import { mbart } from './mbart.ts'
import { mistral } from './mistral.ts'
import { mixtral, qwen2Moe, qwen3Moe } from './mixtures.ts'
import { modernBert } from './modernbert.ts'
import { mpnet } from './mpnet.ts'
import { nomicBert, nomicBertLikeBert } from './nomic-bert.ts'
import { olmo2 } from './olmo2.ts'
import { phi3 } from './phi3.ts'
import { qwen2, qwen3 } from './qwen.ts'
import { roberta, xlmRoberta } from './roberta.ts'
import { t5 } from './t5.ts'

export { readConfig, writeConfig } from './config-mapping.ts'
export { withoutPrefix, type Family, type HeadKind, type HeadName } from './family.ts'
export { nameOf, weightEntries, weightNames, type WeightEntry } from './weight-names.ts'

const encoders: readonly Family[] = [
  bert,
  distilbert,
  roberta,
  xlmRoberta,
  electra,
  mpnet,
  modernBert,
  nomicBert,
  nomicBertLikeBert,
]
const decoders: readonly Family[] = [
  gpt2,
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  phi3,
  olmo2,
  gptNeox,
  mixtral,
  qwen2Moe,
  qwen3Moe,
]
const encoderDecoders: readonly Family[] = [t5, bart, mbart, marian]
/** Every family that is known. */
export const families: readonly Family[] = [...encoders, ...decoders, ...encoderDecoders]

/**
 * The family that a config.json belongs to, and the head that it says. `where` begins the message of every error. Throws ArgumentError, which
 * says what is supported, for a model_type or architecture that is not; FileError when there is none.
 */
export function familyOfFile(
  json: Readonly<Record<string, unknown>>,
  where: string,
): { family: Family; head: HeadName | undefined } {
  const { model_type: modelType, architectures } = json
  if (typeof modelType !== 'string')
    throw new FileError(`${where}: model_type should be a string, got ${describe(modelType)}`)
  const ofType = families.filter((known) => known.modelType === modelType)
  const family =
    ofType.find(({ variant }) => variant && json[variant.key] === variant.value) ??
    ofType.find(({ variant }) => !variant)
  if (!family)
    throw new ArgumentError(
      `${where}: model_type ${describe(modelType)} is not supported; supported: ${[...new Set(families.map((known) => known.modelType))].join(', ')}`,
    )
  if (architectures === undefined || architectures === null) return { family, head: undefined }
  if (!Array.isArray(architectures))
    throw new FileError(`${where}: architectures should be a list of names, got ${describe(architectures)}`)
  const known = architectures.find((name) => Object.hasOwn(family.architectures, String(name)))
  if (architectures.length && known === undefined)
    throw new ArgumentError(
      `${where}: architecture ${architectures.map((name) => describe(name)).join(', ')} is not supported; supported for ${modelType}: ${Object.keys(family.architectures).join(', ')}`,
    )
  return { family, head: family.architectures[known as string] }
}

/**
 * The family whose files can hold a model of this configuration with this head, and its config.json. Throws
 * ArgumentError when none can.
 */
export function familyOfConfig<Config extends object>(
  operation: string,
  assembly: Assembly<Config, Module>,
  config: Required<Config>,
  head: HeadName,
): { family: Family; json: Readonly<Record<string, unknown>> } {
  const reasons: string[] = []
  for (const family of families.filter((known) => known.assembly === assembly))
    try {
      return { family, json: writeConfig(family, config, head) }
    } catch (error) {
      reasons.push((error as Error).message)
    }
  throw new ArgumentError(`${operation}: no supported family of checkpoints holds this model; ${reasons.join('; ')}`)
}
