import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '../checkpoint/safetensors.ts'
import { ArgumentError, checkOptions, describe } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { isObject } from '../files/read-file.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'
import type { WeightEntry } from './families/index.ts'

export const configFile = 'config.json'
export const weightsFile = 'model.safetensors'

export interface SaveOptions {
  /** More keys for config.json, such as eos_token_id. They can not change what describes the model. */
  config?: Readonly<Record<string, unknown>>
  signal?: AbortSignal
}

/**
 * Writes config.json and model.safetensors, as Hugging Face's transformers reads them. The folder is made if there is
 * none. Each file is replaced as a whole, config.json last. The model must not change meanwhile.
 */
export async function saveFolder(
  operation: string,
  folder: string,
  entries: readonly WeightEntry[],
  json: Readonly<Record<string, unknown>>,
  options: SaveOptions,
): Promise<void> {
  checkOptions(operation, options, { config: 'any', signal: 'signal' })
  if (options.config !== undefined && !isObject(options.config))
    throw new ArgumentError(`${operation}: config should be an object, got ${describe(options.config)}`)
  checkPath(operation, folder)
  const { signal } = options
  for (const key of Object.keys(options.config ?? {}))
    if (Object.hasOwn(json, key))
      throw new ArgumentError(`${operation}: config.${key} is told by the model; leave it out`)
  signal?.throwIfAborted()
  const made: Tensor[] = []
  try {
    const tensors = entries.map(({ name, shape, parameter, part }): [string, Tensor] => {
      if (parameter && !part) return [name, parameter]
      const tensor = allocate(operation, shape, 'f32')
      made.push(tensor)
      if (parameter)
        tensor.data().set(parameter.data().subarray(part!.first, part!.first + tensor.size) as Float32Array)
      return [name, tensor]
    })
    await mkdir(folder, { recursive: true }).catch((cause) => {
      throw fileError(operation, folder, cause)
    })
    await writeSafetensors(join(folder, weightsFile), tensors, { format: 'pt' }, signal ? { signal } : {})
    const text = `${withFractions(JSON.stringify({ ...json, dtype: 'float32', ...options.config }, null, 2))}\n`
    await writeTextAtomically(join(folder, configFile), text, operation)
  } finally {
    for (const tensor of made) tensor.dispose()
  }
}

/** transformers takes no whole numbers for these: 30 is written as 30.0. */
const withFractions = (text: string): string =>
  text.replace(/("\w+_(?:eps|epsilon|softcapping)": -?\d+)(?=,?\n)/g, '$1.0')
