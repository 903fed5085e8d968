import { dirname, join } from 'node:path'
import { FileError } from '../errors.ts'
import { decodeUtf8, isObject, parseJsonObject, withFile } from '../files/read-file.ts'
import { closeAll, type CheckpointContents, type StoredTensor } from './checkpoint.ts'
import { findKeyProblem } from './json-keys.ts'
import { openSafetensorsFile, type SafetensorsFile } from './safetensors-file.ts'

const maxIndexBytes = 100_000_000
const maxTensors = 1_000_000
/** Each stays open. The largest published models have some hundreds. */
const maxShards = 2000

/** Nothing outside of the folder, whatever an index says. */
export const isShardName = (name: unknown): name is string =>
  typeof name === 'string' && /^[^/\\:\0]+\.safetensors$/.test(name)

/**
 * Opens all files that an index (model.safetensors.index.json) names: `{ metadata, weight_map: { tensor: file } }`.
 * Throws FileError unless index and files agree on every tensor. Files lie in the folder of the index.
 */
export async function openShards(
  operation: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<CheckpointContents> {
  const where = `${operation}: ${path}`
  const { fileOf, metadata } = await readIndex(operation, path, where)
  const names = [...new Set(fileOf.values())].sort()
  if (names.length > maxShards)
    throw new FileError(`${where}: expected at most ${maxShards} files, weight_map names ${names.length}`)
  const opened: SafetensorsFile[] = []
  try {
    const tensors = new Map<string, StoredTensor>()
    for (const name of names) {
      signal?.throwIfAborted()
      const shard = await openSafetensorsFile(operation, join(dirname(path), name))
      opened.push(shard)
      for (const [tensor, stored] of shard.tensors) {
        if (fileOf.get(tensor) !== name)
          throw new FileError(
            `${where}: tensor ${JSON.stringify(tensor)} lies in ${name}, but weight_map says ${fileOf.get(tensor) ?? 'nothing of it'}`,
          )
        tensors.set(tensor, stored)
      }
    }
    for (const [tensor, name] of fileOf)
      if (!tensors.has(tensor))
        throw new FileError(`${where}: weight_map puts tensor ${JSON.stringify(tensor)} into ${name}, which lacks it`)
    const ofFiles: Record<string, unknown> = Object.assign({}, ...opened.map((shard) => shard.metadata))
    return {
      format: 'safetensors',
      path,
      metadata: { ...ofFiles, ...metadata },
      tensors,
      files: opened.map(({ file }) => file),
    }
  } catch (error) {
    await closeAll(opened.map(({ file }) => file))
    throw error
  }
}

async function readIndex(
  operation: string,
  path: string,
  where: string,
): Promise<{ fileOf: Map<string, string>; metadata: Record<string, unknown> }> {
  const bytes = await withFile(operation, path, (file) => {
    if (file.size > maxIndexBytes)
      throw new FileError(`${where}: expected at most ${maxIndexBytes} bytes, got ${file.size}`)
    return file.read(new Uint8Array(file.size), 0, where)
  })
  const text = decodeUtf8(bytes, where)
  const problem = findKeyProblem(text, 4, maxTensors)
  if (problem) throw new FileError(`${where}: ${problem}`)
  const { weight_map: map, metadata = {} } = parseJsonObject(text, where)
  if (!isObject(map)) throw new FileError(`${where}: weight_map should be an object that gives each tensor its file`)
  if (!isObject(metadata)) throw new FileError(`${where}: metadata should be an object`)
  const fileOf = new Map<string, string>()
  for (const [tensor, name] of Object.entries(map)) {
    if (!isShardName(name))
      throw new FileError(
        `${where}: weight_map: ${JSON.stringify(tensor)} should be in a file *.safetensors of this folder, got ${JSON.stringify(name).slice(0, 80)}`,
      )
    fileOf.set(tensor, name)
  }
  return { fileOf, metadata }
}
