import { setImmediate } from 'node:timers/promises'
import type { ReadOptions } from '../checkpoint/checkpoint.ts'
import type { ResolveModelOptions } from '../checkpoint/resolve-model.ts'
import { FileError } from '../errors.ts'
import { withoutValues } from '../nn/init.ts'
import type { Module } from '../nn/module.ts'
import { allocateMemory, type Tensor } from '../tensor/tensor.ts'
import { matchTensors } from './checkpoint-tensors.ts'
import { familyOfFile, readConfig, type Family, type HeadName, type WeightEntry } from './families/index.ts'
import { openModelFiles, type ModelFiles } from './model-files.ts'

type Json = Readonly<Record<string, unknown>>

/** A model without values, and the tensors that it waits for. */
export interface Made<M extends Module> {
  readonly model: M
  readonly entries: readonly WeightEntry[]
  /** Tensors of other tasks, which may be there. */
  readonly ignored?: readonly string[]
}

export interface LoadOptions extends ResolveModelOptions {}

export const loadOptions = { revision: 'any', signal: 'signal', onProgress: 'function', cache: 'any' } as const

/**
 * Opens a model of any format (see `openModelFiles`): `make` builds it for what config.json says, and the tensors are
 * read into it one at a time. Half-precision and quantized weights become f32.
 *
 * Throws ArgumentError for what is not supported, FileError for files that are missing, damaged or don't belong
 * together, ShapeError for a tensor of the wrong shape; each names the file and the key or tensor. Memory for the model
 * is taken only when everything fits, and given back when it fails.
 */
export async function loadModel<M extends Module>(
  operation: string,
  path: string,
  options: LoadOptions,
  make: (family: Family, config: object, json: Json, told: HeadName | undefined) => Made<M>,
): Promise<M> {
  await using files = await openModelFiles(operation, path, options)
  const where = `${operation}: ${files.configPath}`
  const { family, head } = familyOfFile(files.config, where)
  const config = readConfig(family, files.config, where) as { numLayers: number }
  // Before layers are made for that many.
  if (config.numLayers > files.tensors.size)
    throw new FileError(
      `${where}: asks for ${config.numLayers} layers, but ${files.weightsPath} holds ${files.tensors.size} tensors`,
    )
  const { model, entries, ignored } = withoutValues(() => make(family, config, files.config, head))
  try {
    await bindTensors(
      operation,
      files,
      without(family, ignored),
      entries,
      options.signal ? { signal: options.signal } : {},
    )
    return model
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** The family as if some of its tensors were no weights. */
function without(family: Family, names: readonly string[] = []): Family {
  const copies = Object.entries(family.copies ?? {}).filter(([name]) => !names.includes(name))
  return { ...family, ignored: [...(family.ignored ?? []), ...names], copies: Object.fromEntries(copies) }
}

async function bindTensors(
  operation: string,
  files: ModelFiles,
  family: Family,
  entries: readonly WeightEntry[],
  options: ReadOptions,
): Promise<void> {
  const where = `${operation}: ${files.weightsPath}`
  const { matched, copies } = matchTensors(family, entries, files.tensors, where)
  for (const [{ name, parameter }, inFile] of matched) {
    using tensor = await files.read(inFile, options)
    if (parameter) await take(operation, parameter, tensor)
    else if (tensor.data().some((value) => value !== 0))
      throw new FileError(`${where}: ${name} should be zeros, for config.json says that the model has no biases`)
  }
  for (const { name, original, error } of copies) {
    using copy = await files.read(name, options)
    if (!sameNumbers(copy, original.parameter!)) throw error()
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
  await setImmediate()
}

function sameNumbers(a: Tensor, b: Tensor): boolean {
  const [x, y] = [a.data(), b.data()]
  for (let i = 0; i < x.length; i++) if (!Object.is(x[i], y[i])) return false
  return true
}
