import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { readSafetensors } from '../checkpoint/safetensors.ts'
import { ArgumentError, checkOptions, FileError, ShapeError } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { readJson } from '../files/read-file.ts'
import { withoutValues } from '../nn/init.ts'
import type { Module } from '../nn/module.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { allocateMemory, Tensor } from '../tensor/tensor.ts'
import { matchTensors } from './checkpoint-tensors.ts'
import { checkModel, decoder, type DecoderModel } from './decoder-model.ts'
import { EncoderForTask } from './encoder-for-task.ts'
import { encoder, type EncoderModel } from './encoder-model.ts'
import {
  familyOfConfig,
  familyOfFile,
  readConfig,
  weightEntries,
  type Family,
  type HeadName,
  type WeightEntry,
} from './families/index.ts'
import { Head } from './heads.ts'
import { labelsOf } from './labels.ts'
import { configFile, saveFolder, weightsFile, type SaveOptions } from './save-folder.ts'

type Json = Readonly<Record<string, unknown>>

/** A model without values, and the tensors that it waits for. */
interface Made<M extends Module> {
  readonly model: M
  readonly entries: readonly WeightEntry[]
}

export const loadOptions = { signal: 'signal' } as const

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
async function load<M extends Module>(
  operation: string,
  folder: string,
  options: LoadOptions,
  make: (family: Family, config: object, json: Json, told: HeadName | undefined) => Made<M>,
): Promise<M> {
  const configPath = join(checkPath(operation, folder), configFile)
  const weightsPath = join(folder, weightsFile)
  const json = await readJson(configPath, operation)
  const { family, head } = familyOfFile(json, `${operation}: ${configPath}`)
  const config = readConfig(family, json, `${operation}: ${configPath}`) as { numLayers: number }
  const { tensors } = await readSafetensors(weightsPath, options)
  try {
    // Before layers are made for that many.
    if (config.numLayers > tensors.size)
      throw new FileError(
        `${operation}: ${configPath}: asks for ${config.numLayers} layers, but ${weightsPath} holds ${tensors.size} tensors`,
      )
    const { model, entries } = withoutValues(() => make(family, config, json, head))
    try {
      const matched = matchTensors(family, entries, tensors, `${operation}: ${weightsPath}`)
      for (const [{ parameter }, tensor] of matched) {
        options.signal?.throwIfAborted()
        if (parameter) await take(operation, parameter, tensor)
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
  return load('loadDecoder', folder, options, (family, config) => {
    if (family.assembly !== decoder)
      throw new ArgumentError(`loadDecoder: ${folder}: ${family.modelType} is no decoder; open it with AutoModel…`)
    const model: DecoderModel = family.assembly.make(config, { random: 'zeros' })
    return { model, entries: weightEntries(family, model) }
  })
}

/** Opens the folder of a BERT or a relative for a task; undefined: the one that config.json tells. */
export async function loadEncoder(
  operation: string,
  folder: string,
  task: HeadName | undefined,
  options: LoadOptions,
): Promise<EncoderForTask> {
  checkOptions(operation, options, { signal: 'signal' })
  return load(operation, folder, options, (family, config, json, told) => {
    if (family.assembly !== encoder)
      throw new ArgumentError(`${operation}: ${folder}: ${family.modelType} is no encoder; open it with loadDecoder`)
    const name = task ?? told ?? 'none'
    const head = family.heads?.[name]
    if (!head && name !== 'none')
      throw new ArgumentError(`${operation}: ${folder}: ${family.modelType} has no head for ${name}`)
    const body: EncoderModel = family.assembly.make(config, { random: 'zeros' })
    const labels = head?.kind.output === 'labels' ? labelsOf(json, `${operation}: ${join(folder, configFile)}`) : []
    const model = new EncoderForTask(family, name, body, head && new Head(head.kind, body, labels.length), labels)
    return { model, entries: model.entries() }
  })
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
  await saveFolder('saveDecoder', folder, weightEntries(family, model), json, options)
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
