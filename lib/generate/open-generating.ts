import { resolveModel } from '../checkpoint/resolve-model.ts'
import { checkOptions } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { loadOptions, resolvingOptions, type LoadOptions } from '../models/load-model.ts'
import { readGenerationFile, type GenerationFile } from './generation-file.ts'

/** A language model that follows what its generation_config.json advises. */
interface Generating {
  useGeneration(file: GenerationFile | undefined): void
  dispose(): void
}

/** What `load` makes of the folder or file that `model` stands for, with the generation_config.json beside it. */
export async function openGenerating<M extends Generating>(
  operation: string,
  model: string,
  options: LoadOptions,
  load: (path: string) => Promise<M>,
): Promise<M> {
  checkOptions(operation, options, loadOptions)
  const path = await resolveModel(checkPath(operation, model), resolvingOptions(options))
  const opened = await load(path)
  try {
    opened.useGeneration(await readGenerationFile(operation, path))
    return opened
  } catch (error) {
    opened.dispose()
    throw error
  }
}
