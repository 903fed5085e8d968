import { join } from 'node:path'
import { describe, FileError } from '../errors.ts'
import { exists, readJson } from '../files/read-file.ts'

/** What a model's files advise for generation. */
export interface GenerationConfig {
  /** Each ends a text. */
  readonly eosTokenIds: readonly number[]
  /** Whether and how tokens are drawn; greedy without. */
  readonly sampling: {
    readonly temperature?: number
    readonly topK?: number
    readonly topP?: number
    readonly minP?: number
  }
}

const file = 'generation_config.json'

/** Reads generation_config.json of a model folder, where there is one. Throws FileError for values that are none. */
export async function readGenerationConfig(operation: string, folder: string): Promise<GenerationConfig> {
  const path = join(folder, file)
  if (!(await exists(path))) return { eosTokenIds: [], sampling: {} }
  const json = await readJson(path, operation)
  const ids = [json['eos_token_id'] ?? []].flat()
  if (!ids.every((id) => Number.isInteger(id) && (id as number) >= 0))
    throw new FileError(
      `${operation}: ${path}: eos_token_id should be a token id or several, got ${describe(json['eos_token_id'])}`,
    )
  const number = (key: string): number | undefined => {
    const value = json[key] ?? undefined
    if (value !== undefined && (typeof value !== 'number' || value < 0))
      throw new FileError(`${operation}: ${path}: ${key} should be a number of at least 0, got ${describe(value)}`)
    return value
  }
  const found = {
    temperature: number('temperature') ?? 1,
    topK: number('top_k') || undefined,
    topP: number('top_p'),
    minP: number('min_p'),
  }
  const sampling = json['do_sample'] === true ? found : {}
  return {
    eosTokenIds: ids as number[],
    sampling: Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined)),
  }
}
