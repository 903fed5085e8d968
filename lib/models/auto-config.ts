import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { resolveModel } from '../checkpoint/resolve-model.ts'
import { checkOptions } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { readJson } from '../files/read-file.ts'
import { familyOfFile, readConfig, type HeadName } from './families/index.ts'
import { labelsOf } from './labels.ts'
import { loadOptions, type LoadOptions } from './load-model.ts'
import { readGgufModel } from './gguf-config.ts'
import { configFile } from './save-folder.ts'

/** What the files of a model say about it. */
export interface ModelConfig {
  /** The family, such as 'bert' or 'llama'. */
  readonly modelType: string
  /** What it was made for; undefined where the files don't say. */
  readonly task: HeadName | undefined
  /** Sizes and choices, such as `hiddenSize` and `numLayers`, those that the files leave out filled in. */
  readonly model: Readonly<Record<string, unknown>>
  /** Names of classes, where the task has some. */
  readonly labels: readonly string[]
  /** config.json as it stands; for a GGUF file, what it would be. */
  readonly json: Readonly<Record<string, unknown>>
}

const operation = 'AutoConfig.fromPretrained'

/** What a model is, before it is opened. */
export const AutoConfig = {
  /**
   * Reads config.json of a folder or of an id of the Hub, or the metadata of a GGUF file; no weights. Throws ArgumentError
   * for a model that is not supported, which names the key, FileError and HubError.
   */
  async fromPretrained(model: string, options: LoadOptions = {}): Promise<ModelConfig> {
    checkOptions(operation, options, loadOptions)
    const path = await resolveModel(checkPath(operation, model), options)
    const { json, where } = await read(path, options.signal)
    const { family, head } = familyOfFile(json, where)
    const hasLabels = head !== undefined && family.heads?.[head]?.kind.output === 'labels'
    return {
      modelType: family.modelType,
      task: head,
      model: readConfig(family, json, where),
      labels: hasLabels ? labelsOf(json, where) : [],
      json,
    }
  },
}

async function read(
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ json: Readonly<Record<string, unknown>>; where: string }> {
  if (!path.toLowerCase().endsWith('.gguf')) {
    const file = join(path, configFile)
    return { json: await readJson(file, operation), where: `${operation}: ${file}` }
  }
  await using checkpoint = await openCheckpoint(path, signal ? { signal } : {})
  return { json: (await readGgufModel(checkpoint)).config, where: `${operation}: ${path}` }
}
