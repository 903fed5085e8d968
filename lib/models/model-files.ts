import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Checkpoint, CheckpointTensor, PartOptions, ReadOptions } from '../checkpoint/checkpoint.ts'
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { resolveModel, type ResolveModelOptions } from '../checkpoint/resolve-model.ts'
import { checkPath } from '../files/file-error.ts'
import { readJson } from '../files/read-file.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'
import { readGgufModel } from './gguf-config.ts'
import { configFile } from './save-folder.ts'

/** The files of a model in the words of Hugging Face's transformers, whatever their format. Close it. */
export interface ModelFiles extends AsyncDisposable {
  /** What config.json says. */
  readonly config: Readonly<Record<string, unknown>>
  /** For messages: where `config` and the tensors come from. */
  readonly configPath: string
  readonly weightsPath: string
  /** By the names, and of the shapes, of transformers. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /** True where the file has the tensor transposed. */
  isTransposed(name: string): boolean
  /** One tensor as numbers, which belongs to the caller: a mapping of the file where that has them so. */
  read(name: string, options?: ReadOptions): Promise<Tensor>
  /**
   * Rows of a tensor as the file has it, transposed or not, as numbers or as they are stored. They begin and end at
   * multiples of `rowMultiple`.
   */
  readRows(name: string, options: PartOptions): Promise<Tensor>
  readRowBytes(name: string, options: PartOptions): Promise<Uint8Array>
  /** The same into memory of the caller, of exactly so many bytes. */
  readRowBytesInto(name: string, target: Uint8Array, options: PartOptions): Promise<void>
  rowMultiple(name: string): number
  /** As that of a checkpoint, for one layout of rows. */
  identity(name: string): string
}

/**
 * Opens a model: a folder or file that `openCheckpoint` opens, or an id of the Hub (`resolveModel` takes the options).
 * Beside safetensors stands config.json; a GGUF file says everything itself. Only headers are read. Throws FileError,
 * HubError.
 */
export async function openModelFiles(
  operation: string,
  model: string,
  options: ResolveModelOptions,
): Promise<ModelFiles> {
  const path = await resolveModel(checkPath(operation, model), options)
  const { signal, onProgress } = options
  const checkpoint = await openCheckpoint(path, { ...(signal && { signal }), ...(onProgress && { onProgress }) })
  try {
    if (checkpoint.format === 'gguf') return await ggufFiles(checkpoint)
    const folder = (await stat(path)).isDirectory() ? path : dirname(path)
    const configPath = join(folder, configFile)
    return {
      config: await readJson(configPath, operation),
      configPath,
      weightsPath: path,
      tensors: checkpoint.tensors,
      isTransposed: () => false,
      read: (name, given) => checkpoint.read(name, { ...given, mapped: true }),
      readRows: (name, given) => checkpoint.read(name, given),
      readRowBytes: (name, given) => checkpoint.readBytes(name, given),
      readRowBytesInto: (name, target, given) => checkpoint.readBytesInto(name, target, given),
      rowMultiple: () => 1,
      identity: (name) => checkpoint.identity(name),
      [Symbol.asyncDispose]: () => checkpoint.close(),
    }
  } catch (error) {
    await checkpoint.close()
    throw error
  }
}

async function ggufFiles(checkpoint: Checkpoint): Promise<ModelFiles> {
  const { config, names } = await readGgufModel(checkpoint)
  const headDim = Number(config['head_dim'] ?? Number(config['hidden_size']) / Number(config['num_attention_heads']))
  const tensors = [...names].map(([name, { name: inFile, transposed }]): [string, CheckpointTensor] => {
    const stored = checkpoint.tensors.get(inFile)!
    return [name, transposed ? { ...stored, shape: [...stored.shape].reverse() } : stored]
  })
  return {
    config,
    configPath: checkpoint.path,
    weightsPath: checkpoint.path,
    tensors: new Map(tensors),
    isTransposed: (name) => names.get(name)!.transposed,
    read: async (name, options) => {
      const { name: inFile, transposed } = names.get(name)!
      const tensor = await checkpoint.read(inFile, { ...options, mapped: true })
      await asInTransformers(name, tensor)
      return transposed && tensor.rank === 2 ? transpose(tensor) : tensor
    },
    readRows: async (name, options) => {
      const tensor = await checkpoint.read(names.get(name)!.name, options)
      await asInTransformers(name, tensor)
      return tensor
    },
    readRowBytes: async (name, options) => {
      const bytes = await checkpoint.readBytes(names.get(name)!.name, options)
      await arranged(name, bytes)
      return bytes
    },
    readRowBytesInto: async (name, target, options) => {
      await checkpoint.readBytesInto(names.get(name)!.name, target, options)
      await arranged(name, target)
    },
    rowMultiple: (name) => {
      const { name: inFile, interleaved, byPart } = names.get(name)!
      return byPart ? checkpoint.tensors.get(inFile)!.shape[0]! : interleaved ? headDim : 1
    },
    identity: (name) =>
      `${checkpoint.identity(names.get(name)!.name)}${names.get(name)!.interleaved || names.get(name)!.byPart ? ` ${headDim}` : ''}`,
    [Symbol.asyncDispose]: () => checkpoint.close(),
  }

  async function asInTransformers(name: string, tensor: Tensor): Promise<void> {
    await arranged(name, bytesOf(tensor), rowBytes(tensor))
    if (names.get(name)!.offset) for (let i = 0; i < tensor.size; i++) tensor.data()[i]! -= 1
  }

  /** Rows as they are stored, in transformers' order. */
  async function arranged(name: string, bytes: Uint8Array, width?: number): Promise<void> {
    const { name: inFile, interleaved, byPart } = names.get(name)!
    const { shape, byteLength } = checkpoint.tensors.get(inFile)!
    if (interleaved) await splitPairs(bytes, headDim, width ?? byteLength / shape[0]!)
    if (byPart) joinParts(bytes, headDim, width ?? byteLength / shape[0]!)
  }
}

const bytesOf = (tensor: Tensor): Uint8Array => {
  const { buffer, byteOffset, byteLength } = tensor.data()
  return new Uint8Array(buffer, byteOffset, byteLength)
}
const rowBytes = (tensor: Tensor): number => tensor.data().byteLength / tensor.shape[0]!

/** Rows 2i and 2i + 1 of each head, in place, become rows i and headDim / 2 + i. */
async function splitPairs(bytes: Uint8Array, headDim: number, width: number): Promise<void> {
  const size = headDim * width
  // What is no whole number of heads has no shape of the model, and is refused for that.
  if (headDim % 2 || bytes.length % size) return
  for (let at = 0; at < bytes.length; at += size) {
    const head = bytes.slice(at, at + size)
    for (let row = 0; row < headDim; row++) {
      const target = (row >> 1) + (row & 1 ? headDim / 2 : 0)
      bytes.set(head.subarray(row * width, (row + 1) * width), at + target * width)
    }
    await setImmediate()
  }
}

/** Rows of all queries, all keys and all values, in place, become those of a head side by side. */
function joinParts(bytes: Uint8Array, headDim: number, width: number): void {
  const size = headDim * width
  const heads = bytes.length / size / 3
  // What is no whole number of heads has no shape of the model, and is refused for that.
  if (!Number.isInteger(heads)) return
  const from = bytes.slice()
  for (let part = 0; part < 3; part++)
    for (let head = 0; head < heads; head++) {
      const at = (part * heads + head) * size
      bytes.set(from.subarray(at, at + size), (head * 3 + part) * size)
    }
}

/** Of a square that stays in the cache while it is turned. */
const tile = 32

async function transpose(tensor: Tensor): Promise<Tensor> {
  const [rows, columns] = tensor.shape as [number, number]
  const result = allocate('transpose', [columns, rows], tensor.dtype)
  const [from, to] = [tensor.data(), result.data()]
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile)
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile)
      for (let j = left; j < right; j++) for (let i = top; i < bottom; i++) to[j * rows + i] = from[i * columns + j]!
    }
    await setImmediate()
  }
  tensor.dispose()
  return result
}
