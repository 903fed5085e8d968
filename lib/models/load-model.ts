import { setImmediate } from 'node:timers/promises'
import type { ReadOptions } from '../checkpoint/checkpoint.ts'
import type { ResolveModelOptions } from '../checkpoint/resolve-model.ts'
import { FileError } from '../errors.ts'
import { withoutValues } from '../nn/init.ts'
import type { Module } from '../nn/module.ts'
import { sameShape, sizeOf } from '../tensor/shape.ts'
import { allocateMemory, type Tensor } from '../tensor/tensor.ts'
import { matchTensors } from './checkpoint-tensors.ts'
import { familyOfFile, readConfig, type Family, type HeadName, type WeightEntry } from './families/index.ts'
import { openModelFiles, type ModelFiles } from './model-files.ts'
import { Packer, packWeight } from './pack-weight.ts'
import { checkLoadDType, formatFor, packableWeights, type LoadDType, type Packable } from './weight-formats.ts'

type Json = Readonly<Record<string, unknown>>

/** A model without values, and the tensors that it waits for. */
export interface Made<M extends Module> {
  readonly model: M
  readonly entries: readonly WeightEntry[]
  /** Tensors of other tasks, which may be there. */
  readonly ignored?: readonly string[]
}

export interface LoadOptions extends ResolveModelOptions {
  /**
   * What the weights of linear layers and embeddings are kept as; f32 unless said. All but f32 are for inference only.
   *
   * | dtype | weights | bytes each |
   * | --- | --- | --- |
   * | `f32` | f32; those of F32 files are mapped, so that processes share them | 4 |
   * | `bf16` | bfloat16 | 2 |
   * | `int8` | 8 bits, a scale for each output; quantized blocks of GGUF files with up to 8 bits stay as they are | 1 |
   * | `int4` | 4 bits, a scale for each 32 (Q4_0); embeddings as with int8 | 0.56 |
   * | `auto` | what the file has: F32, F16, BF16, Q8_0, Q4_0; other blocks of GGUF files: 8 bits, a scale for each 32 | |
   *
   * `ops.quantize` tells of the errors of products. Norms, biases and experts are f32 in any case, and tables that are only
   * looked up in where the file has them as F32: mapped, so that only rows that are used come into memory.
   */
  dtype?: LoadDType
  /**
   * false: for inference only. Weights that stay f32 are packed too, into memory of their own: encoders and prompts are
   * 1.2 times as fast. true unless said; pipelines say false.
   */
  trainable?: boolean
}

/** Those of them that say where the files are. */
export const resolvingOptions = ({ dtype: _, trainable: __, ...resolving }: LoadOptions): ResolveModelOptions =>
  resolving

export const loadOptions = {
  dtype: 'any',
  trainable: 'boolean',
  revision: 'any',
  signal: 'signal',
  onProgress: 'function',
  cache: 'any',
} as const

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
  const { dtype: given, trainable = true } = options
  const resolving = resolvingOptions(options)
  const dtype = checkLoadDType(operation, given)
  await using files = await openModelFiles(operation, path, resolving)
  const where = `${operation}: ${files.configPath}`
  const { family, head } = familyOfFile(files.config, where)
  const told = readConfig(family, files.config, where) as { numLayers: number }
  const config = (await isUntied(files, family, resolving)) ? { ...told, tieEmbeddings: false } : told
  // Before layers are made for that many.
  if (config.numLayers > files.tensors.size)
    throw new FileError(
      `${where}: asks for ${config.numLayers} layers, but ${files.weightsPath} holds ${files.tensors.size} tensors`,
    )
  const { model, entries, ignored } = withoutValues(() => make(family, config, files.config, head))
  try {
    const packable = dtype === 'f32' && trainable ? new Map<Tensor, Packable>() : packableWeights(model)
    using packer = new Packer()
    const bind = async (parameter: Tensor, name: string, from: ReadOptions): Promise<void> => {
      const use = packable.get(parameter)
      const { shape, fileType } = files.tensors.get(name)!
      const size = (use?.inputsFirst ? [shape.at(-1)!, shape[0]!] : [shape[0]!, shape.at(-1)!]) as [number, number]
      const format = use && formatFor(dtype, fileType, use, size, trainable)
      if (format) parameter.bind(await packWeight(operation, files, name, use, format, packer, from))
      else await take(operation, parameter, await files.read(name, from))
    }
    const reading = options.signal ? { signal: options.signal } : {}
    await bindTensors(operation, files, without(family, ignored), entries, bind, reading)
    return model
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** Whether the file has an output projection of its own although config.json may say otherwise. */
async function isUntied(files: ModelFiles, family: Family, { signal }: LoadOptions): Promise<boolean> {
  const { untiedBy: name } = family
  const original = name === undefined ? undefined : family.copies?.[name]
  if (name === undefined || original === undefined) return false
  const [mine, shared] = [files.tensors.get(name), files.tensors.get(original)]
  if (!mine || !shared || !sameShape(mine.shape, shared.shape)) return false
  return !(await sameNumbers(files, name, original, signal ? { signal } : {}))
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
  bind: (parameter: Tensor, name: string, options: ReadOptions) => Promise<void>,
  options: ReadOptions,
): Promise<void> {
  const where = `${operation}: ${files.weightsPath}`
  const { matched, copies } = matchTensors(family, entries, files.tensors, where)
  for (const [{ name, parameter, part }, inFile] of matched)
    if (parameter && part) await takePart(operation, parameter, await files.read(inFile, options), part.first)
    else if (parameter) await bind(parameter, inFile, options)
    else {
      using tensor = await files.read(inFile, options)
      if (tensor.data().some((value) => value !== 0))
        throw new FileError(`${where}: ${name} should be zeros, for config.json says that the model has no biases`)
    }
  for (const { name, original, error } of copies)
    if (!(await sameNumbers(files, name, matched.get(original)!, options))) throw error()
}

/** Gives a parameter the values of a tensor: its memory where that has the right type. */
async function take(operation: string, parameter: Tensor, given: Tensor): Promise<void> {
  using tensor = given
  if (tensor.dtype === parameter.dtype) {
    parameter.bind(tensor.memory(operation))
    return
  }
  parameter.bind(allocateMemory(operation, parameter.shape, parameter.dtype))
  parameter.data().set(tensor.data())
  await setImmediate()
}

/** The same for a tensor that is a part of a parameter, whose memory is made for the first of them. */
async function takePart(operation: string, parameter: Tensor, tensor: Tensor, first: number): Promise<void> {
  using part = tensor
  if (parameter.isUnbound) parameter.bind(allocateMemory(operation, parameter.shape, parameter.dtype))
  parameter.data().set(part.data(), first)
  await setImmediate()
}

/** Numbers that are compared between two turns of the event loop. */
const comparedSize = 2 ** 20

async function sameNumbers(files: ModelFiles, a: string, b: string, options: ReadOptions): Promise<boolean> {
  const [count = 1, ...row] = files.tensors.get(a)!.shape
  const sameType = files.tensors.get(a)!.fileType === files.tensors.get(b)!.fileType
  const step = Math.max(1, Math.floor(comparedSize / Math.max(1, sizeOf(row))))
  for (let begin = 0; begin < count; begin += step) {
    const part = { ...options, rows: [begin, Math.min(count, begin + step)] as const }
    if (sameType) {
      if (Buffer.compare(await files.readRowBytes(a, part), await files.readRowBytes(b, part))) return false
      continue
    }
    using left = await files.readRows(a, part)
    using right = await files.readRows(b, part)
    const [x, y] = [left.data(), right.data()]
    for (let i = 0; i < x.length; i++) if (!Object.is(x[i], y[i])) return false
    await setImmediate()
  }
  return true
}
