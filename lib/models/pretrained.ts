import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { readSafetensors, writeSafetensors } from '../checkpoint/safetensors.ts'
import { ArgumentError, checkOptions, describe, FileError, ShapeError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { isObject, readJson } from '../files/read-file.ts'
import { withoutValues } from '../nn/init.ts'
import type { Module } from '../nn/module.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { allocate, allocateMemory, Tensor } from '../tensor/tensor.ts'
import { matchTensors } from './checkpoint-tensors.ts'
import { checkModel, decoder, type DecoderModel } from './decoder-model.ts'
import {
  familyOfConfig,
  familyOfFile,
  readConfig,
  weightEntries,
  type Family,
  type WeightEntry,
} from './families/index.ts'

const configFile = 'config.json'
const weightsFile = 'model.safetensors'

export interface LoadOptions {
  signal?: AbortSignal
}

/**
 * Opens a model folder as Hugging Face's transformers writes it: config.json and model.safetensors. Half-precision
 * weights become f32; f32 ones are taken as they were read, without a copy.
 *
 * Throws ArgumentError for what is not supported, FileError for files that are missing, damaged or don't belong
 * together, ShapeError for a tensor of the wrong shape; each names the file and the key or tensor. Memory for the model
 * is taken only when everything fits, and given back when it fails.
 */
async function load(
  operation: string,
  folder: string,
  options: LoadOptions,
): Promise<{ family: Family; model: Module }> {
  const configPath = join(checkPath(operation, folder), configFile)
  const weightsPath = join(folder, weightsFile)
  const json = await readJson(configPath, operation)
  const { family } = familyOfFile(json, `${operation}: ${configPath}`)
  const config = readConfig(family, json, `${operation}: ${configPath}`) as { numLayers: number }
  const { tensors } = await readSafetensors(weightsPath, options)
  try {
    // Before layers are made for that many.
    if (config.numLayers > tensors.size)
      throw new FileError(
        `${operation}: ${configPath}: asks for ${config.numLayers} layers, but ${weightsPath} holds ${tensors.size} tensors`,
      )
    const model: Module = withoutValues(() => family.assembly.make(config, { random: 'zeros' }))
    try {
      const entries = weightEntries(family, model)
      const matched = matchTensors(family, entries, tensors, `${operation}: ${weightsPath}`)
      for (const [{ parameter }, tensor] of matched) {
        options.signal?.throwIfAborted()
        if (parameter) await take(operation, parameter, tensor)
      }
      return { family, model }
    } catch (error) {
      model.dispose()
      throw error
    }
  } finally {
    for (const tensor of tensors.values()) tensor.dispose()
  }
}

/** Gives a parameter the values of a tensor: its memory where that has the right type. */
async function take(operation: string, parameter: Tensor, tensor: Tensor): Promise<void> {
  if (tensor.dtype === parameter.dtype) {
    parameter.bind(tensor.memory(operation))
    return
  }
  parameter.bind(allocateMemory(operation, parameter.shape, parameter.dtype))
  parameter.data().set(tensor.data())
  tensor.dispose()
  await setImmediate()
}

/** Opens the folder of a GPT-2, a Llama or a relative as a model that generates and trains. */
export async function loadDecoder(folder: string, options: LoadOptions = {}): Promise<DecoderModel> {
  checkOptions('loadDecoder', options, { signal: 'signal' })
  const { family, model } = await load('loadDecoder', folder, options)
  if (family.assembly === decoder) return model as DecoderModel
  model.dispose()
  throw new ArgumentError(`loadDecoder: ${folder}: ${family.modelType} is no decoder`)
}

export interface SaveOptions {
  /** More keys for config.json, such as eos_token_id. They can not change what describes the model. */
  config?: Readonly<Record<string, unknown>>
  signal?: AbortSignal
}

/**
 * Writes config.json and model.safetensors, as Hugging Face's transformers reads them. The folder is made if there is
 * none. Each file is replaced as a whole, config.json last. The model must not change meanwhile.
 */
async function save(
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
  const zeros: Tensor[] = []
  try {
    const tensors = entries.map(({ name, shape, parameter }): [string, Tensor] => {
      if (parameter) return [name, parameter]
      zeros.push(allocate(operation, shape, 'f32'))
      return [name, zeros.at(-1)!]
    })
    await mkdir(folder, { recursive: true }).catch((cause) => {
      throw fileError(operation, folder, cause)
    })
    await writeSafetensors(join(folder, weightsFile), tensors, { format: 'pt' }, signal ? { signal } : {})
    const text = `${JSON.stringify({ ...json, dtype: 'float32', ...options.config }, null, 2)}\n`
    await writeTextAtomically(join(folder, configFile), text, operation)
  } finally {
    for (const tensor of zeros) tensor.dispose()
  }
}

/**
 * Writes a decoder as a model folder, as GPT-2 or Llama, whichever holds the model. A GPT without biases is written
 * with biases of zero and `heedful_bias: false`.
 *
 * Throws ArgumentError for a model that no family holds, FileError when a file can't be written.
 */
export async function saveDecoder(model: DecoderModel, folder: string, options: SaveOptions = {}): Promise<void> {
  checkModel('saveDecoder', model)
  checkOptions('saveDecoder', options, { config: 'any', signal: 'signal' })
  const { family, json } = familyOfConfig('saveDecoder', decoder, model.config, 'causal-lm')
  await save('saveDecoder', folder, weightEntries(family, model), json, options)
}

/**
 * Tensors by field path, such as parameters or their gradients, under the names that a checkpoint of this model has.
 * The result belongs to the caller, but shares memory with what was given: a change of one is a change of the other.
 *
 * Throws ArgumentError for a path that the model doesn't have and a model that no family holds, ShapeError for a tensor
 * that is not of its parameter's shape.
 */
export function toCheckpointNames(
  model: DecoderModel,
  tensorsByPath: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  const operation = 'toCheckpointNames'
  const { family } = familyOfConfig(operation, decoder, model.config, 'causal-lm')
  const entries = weightEntries(family, model)
  const byPath = new Map(entries.map((entry) => [entry.path, entry]))
  const named = new Map<string, Tensor>()
  for (const [path, tensor] of tensorsByPath) {
    const entry = byPath.get(path)
    if (!entry) throw new ArgumentError(`${operation}: this model has no parameter ${path}`)
    if (!sameShape(tensor.shape, entry.shape))
      throw new ShapeError(
        `${operation}: ${path} should have shape ${formatShape(entry.shape)}, got ${formatShape(tensor.shape)}`,
      )
  }
  for (const { name, path } of entries) {
    const tensor = tensorsByPath.get(path)
    if (tensor) named.set(name, new Tensor(tensor.shape, tensor.dtype, tensor.memory(operation)))
  }
  return named
}
