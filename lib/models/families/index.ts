import { ArgumentError, describe } from '../../errors.ts'
import type { ResolvedDecoderConfig } from '../decoder-model.ts'
import type { DecoderFamily, HuggingFaceConfig } from './family.ts'
import { gpt2 } from './gpt2.ts'
import { llama } from './llama.ts'

const families: readonly DecoderFamily[] = [gpt2, llama]

/** The family that a config.json names. */
export function familyOf(config: HuggingFaceConfig): DecoderFamily {
  const found = families.find(({ modelType }) => modelType === config['model_type'])
  if (!found)
    throw new ArgumentError(
      `model_type ${describe(config['model_type'])} is not supported; supported: ${families.map(({ modelType }) => modelType).join(', ')}`,
    )
  return found
}

/** The family whose files can hold a model. */
export const familyFor = (config: ResolvedDecoderConfig): DecoderFamily =>
  config.positions === 'rotary' ? llama : gpt2
