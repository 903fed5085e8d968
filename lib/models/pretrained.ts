import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { readSafetensors, writeSafetensors } from '../checkpoint/safetensors.ts'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { isObject, readJson } from '../files/read-file.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'
import { checkpointTensors, copyIn, matchTensors } from './checkpoint-tensors.ts'
import { checkModel, DecoderModel } from './decoder-model.ts'
import { familyOfConfig, familyOfFile, readConfig, weightEntries } from './families/index.ts'

const configFile = 'config.json'
const weightsFile = 'model.safetensors'

export interface LoadDecoderOptions {
  signal?: AbortSignal
}

/**
 * Opens a model folder as Hugging Face's transformers writes it: config.json and model.safetensors. Half-precision
 * weights become f32. Off the event loop, but for copies of a few milliseconds per tensor.
 *
 * Throws ArgumentError for what is not supported, FileError for files that are missing, damaged or don't belong
 * together, ShapeError for a tensor of the wrong shape; each names the file and the key or tensor. Memory for the model
 * is taken only when everything fits, and given back when it fails.
 */
export async function loadDecoder(folder: string, options: LoadDecoderOptions = {}): Promise<DecoderModel> {
  checkOptions('loadDecoder', options, { signal: 'signal' })
  const configPath = join(checkPath('loadDecoder', folder), configFile)
  const weightsPath = join(folder, weightsFile)
  const json = await readJson(configPath, 'loadDecoder')
  const family = familyOfFile(json, `loadDecoder: ${configPath}`)
  const config = readConfig(family, json, `loadDecoder: ${configPath}`)
  const { tensors } = await readSafetensors(weightsPath, options)
  try {
    // Before names are made for that many layers.
    if (config.numLayers > tensors.size)
      throw new FileError(
        `loadDecoder: ${configPath}: asks for ${config.numLayers} layers, but ${weightsPath} holds ${tensors.size} tensors`,
      )
    const matched = matchTensors(family, weightEntries(family, config), tensors, `loadDecoder: ${weightsPath}`)
    const model = new DecoderModel(config, { random: 'zeros' })
    try {
      const parameters = model.parameters()
      for (const [entry, tensor] of matched) {
        options.signal?.throwIfAborted()
        copyIn(entry, tensor, parameters.get(entry.path))
        tensor.dispose()
        await setImmediate()
      }
      return model
    } catch (error) {
      model.dispose()
      throw error
    }
  } finally {
    for (const tensor of tensors.values()) tensor.dispose()
  }
}

export interface SaveDecoderOptions {
  /** More keys for config.json, such as eos_token_id. They can not change what describes the model. */
  config?: Readonly<Record<string, unknown>>
  signal?: AbortSignal
}

/**
 * Writes config.json and model.safetensors, as Hugging Face's transformers reads them: as GPT-2 or Llama, whichever
 * holds the model. The folder is made if there is none. Each file is replaced as a whole, config.json last. The model
 * must not change meanwhile. A GPT without biases is written with biases of zero and `heedful_bias: false`.
 *
 * Throws ArgumentError for a model that no family holds, FileError when a file can't be written.
 */
export async function saveDecoder(
  model: DecoderModel,
  folder: string,
  options: SaveDecoderOptions = {},
): Promise<void> {
  checkModel('saveDecoder', model)
  checkOptions('saveDecoder', options, { config: 'any', signal: 'signal' })
  if (options.config !== undefined && !isObject(options.config))
    throw new ArgumentError(`saveDecoder: config should be an object, got ${describe(options.config)}`)
  checkPath('saveDecoder', folder)
  const { signal } = options
  const { family, json } = familyOfConfig('saveDecoder', model.config)
  for (const key of Object.keys(options.config ?? {}))
    if (Object.hasOwn(json, key))
      throw new ArgumentError(`saveDecoder: config.${key} is told by the model; leave it out`)
  const entries = weightEntries(family, model.config)
  const tensors: [string, Tensor][] = []
  try {
    for (const pair of checkpointTensors('saveDecoder', entries, model.parameters())) {
      signal?.throwIfAborted()
      tensors.push(pair)
      await setImmediate()
    }
    for (const { name, shape, zero } of entries) if (zero) tensors.push([name, allocate('saveDecoder', shape, 'f32')])
    await mkdir(folder, { recursive: true }).catch((cause) => {
      throw fileError('saveDecoder', folder, cause)
    })
    await writeSafetensors(join(folder, weightsFile), tensors, { format: 'pt' }, signal ? { signal } : {})
    const text = `${JSON.stringify({ ...json, dtype: 'float32', ...options.config }, null, 2)}\n`
    await writeTextAtomically(join(folder, configFile), text, 'saveDecoder')
  } finally {
    for (const [, tensor] of tensors) tensor.dispose()
  }
}

/**
 * Tensors by field path, such as parameters or their gradients, under the names and in the layouts that a checkpoint of
 * this model has. The result belongs to the caller, but may share memory with what was given: a change of one may be
 * a change of the other.
 *
 * Throws ArgumentError for a path that the model doesn't have and a model that no family holds, ShapeError for a tensor
 * that is not of its parameter's shape.
 */
export function toCheckpointNames(
  model: DecoderModel,
  tensorsByPath: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  const { family } = familyOfConfig('toCheckpointNames', model.config)
  const named = new Map<string, Tensor>()
  try {
    for (const [name, tensor] of checkpointTensors(
      'toCheckpointNames',
      weightEntries(family, model.config),
      tensorsByPath,
    ))
      named.set(name, tensor)
    return named
  } catch (error) {
    for (const tensor of named.values()) tensor.dispose()
    throw error
  }
}
