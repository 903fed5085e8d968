import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkInteger, checkOptions } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { readJson } from '../files/read-file.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { NarrowType } from './narrow.ts'
import { bytesInFile, formatHeader } from './safetensors-header.ts'
import { isShardName } from './safetensors-shards.ts'
import { checkEntries, checkNarrow, writeSafetensors, type WriteOptions } from './safetensors.ts'

const single = 'model.safetensors'
const index = 'model.safetensors.index.json'

export interface WriteCheckpointOptions extends WriteOptions {
  /** Bytes of tensors in one file, at most, unless a single tensor has more; 5 · 10⁹ unless given. */
  maxShardSize?: number
}

type Entries = readonly (readonly [string, Tensor])[]

/**
 * Writes tensors into a folder, in the given order, as `openCheckpoint` and Hugging Face's transformers read them:
 * model.safetensors, or several files and an index when there are more than `maxShardSize` bytes. The folder is made if
 * there is none. A checkpoint that is in the folder is replaced as a whole: at every moment either it or the new one can
 * be opened. The tensors must neither change nor be disposed until the promise resolves.
 *
 * Throws ArgumentError for a name twice and a number that is too large for `dtype`, FileError when a file can't be
 * written; the folder is as it was then.
 */
export async function writeCheckpoint(
  folder: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteCheckpointOptions = {},
): Promise<void> {
  checkPath('writeCheckpoint', folder)
  checkOptions('writeCheckpoint', options, { dtype: 'any', maxShardSize: 'any', signal: 'signal' })
  const { maxShardSize = 5e9, signal } = options
  checkInteger('writeCheckpoint', 'maxShardSize', maxShardSize, 1)
  const dtype = checkNarrow('writeCheckpoint', options.dtype)
  signal?.throwIfAborted()
  const entries = checkEntries('writeCheckpoint', tensors)
  formatHeader(entries, {}) // names that come twice are told before anything is written
  const shards = split(entries, maxShardSize, dtype)
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw fileError('writeCheckpoint', folder, cause)
  })
  const old = await shardsOf(folder)
  const names = shards.length > 1 ? await freeNames(folder, shards.length) : [single]
  try {
    for (const [i, shard] of shards.entries())
      await writeSafetensors(join(folder, names[i]!), shard, metadata, {
        ...(signal && { signal }),
        ...(dtype && { dtype }),
      })
    if (shards.length > 1) await writeIndex(folder, shards, names, dtype)
  } catch (error) {
    if (shards.length > 1) await remove(folder, names)
    throw error
  }
  // model.safetensors is what counts until it is gone.
  await remove(folder, shards.length > 1 ? [single, ...old] : [index, ...old])
}

function split(entries: Entries, maxShardSize: number, dtype: NarrowType | undefined): Entries[] {
  const shards: (readonly [string, Tensor])[][] = [[]]
  let bytes = 0
  for (const entry of entries) {
    const more = bytesInFile(entry[1], dtype)
    if (bytes + more > maxShardSize && shards.at(-1)!.length) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)!.push(entry)
    bytes += more
  }
  return shards
}

/** The customary names; others when there are files of such names, which an old index may still need. */
async function freeNames(folder: string, count: number): Promise<string[]> {
  const taken = new Set(await readdir(folder))
  const digits = (n: number): string => String(n).padStart(5, '0')
  const names = (tag: string): string[] =>
    Array.from({ length: count }, (_, i) => `model-${tag}${digits(i + 1)}-of-${digits(count)}.safetensors`)
  const customary = names('')
  return customary.some((name) => taken.has(name)) ? names(`${randomBytes(4).toString('hex')}-`) : customary
}

async function writeIndex(
  folder: string,
  shards: readonly Entries[],
  names: readonly string[],
  dtype: NarrowType | undefined,
): Promise<void> {
  const total = shards.flat().reduce((sum, [, tensor]) => sum + bytesInFile(tensor, dtype), 0)
  const map = shards.flatMap((shard, i) => shard.map(([name]) => [name, names[i]] as const))
  const json = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) }
  await writeTextAtomically(join(folder, index), `${JSON.stringify(json, null, 2)}\n`, 'writeCheckpoint')
}

/** The files that the index in the folder names, if there is one. */
async function shardsOf(folder: string): Promise<string[]> {
  const json = await readJson(join(folder, index)).catch(() => undefined)
  return [...new Set(Object.values(Object(json?.['weight_map'])))].filter(isShardName)
}

async function remove(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names)
    await rm(join(folder, name), { force: true }).catch((cause) => {
      throw fileError('writeCheckpoint', join(folder, name), cause)
    })
}
