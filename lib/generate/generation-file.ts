import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { exists, readJson } from '../files/read-file.ts'

/** What a model's generation_config.json says, and where it stands. */
export interface GenerationFile {
  readonly json: Readonly<Record<string, unknown>>
  readonly path: string
}

const name = 'generation_config.json'

/** That of a model folder, or of the folder that a file of weights lies in; undefined where there is none. */
export async function readGenerationFile(operation: string, model: string): Promise<GenerationFile | undefined> {
  const path = join((await stat(model)).isDirectory() ? model : dirname(model), name)
  return (await exists(path)) ? { json: await readJson(path, operation), path } : undefined
}

/** Writes it again, beside a model that is saved. */
export async function saveGenerationFile(folder: string, { json }: GenerationFile): Promise<void> {
  await writeTextAtomically(join(folder, name), `${JSON.stringify(json, null, 2)}\n`, 'savePretrained')
}
