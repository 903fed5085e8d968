import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { checkOptions, FileError } from '../errors.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { FileCheckpoint, type Checkpoint, type CheckpointContents, type CheckpointOptions } from './checkpoint.ts'
import { openGguf } from './gguf.ts'
import { openSafetensorsFile } from './safetensors-file.ts'
import { openShards } from './safetensors-shards.ts'

const single = 'model.safetensors'
const index = 'model.safetensors.index.json'
const pickled = /\.(bin|bin\.index\.json|pt|pth|ckpt|pkl)$/

/**
 * Opens a checkpoint to read its tensors one at a time: a folder with model.safetensors, with
 * model.safetensors.index.json and its files, or with one GGUF file; or such a file itself. Only headers are read, and
 * checked as a whole.
 *
 * Throws FileError, which names the file and what is wrong with it; also for PyTorch's pickled files, which could run
 * any code, and says how to convert them.
 */
export async function openCheckpoint(path: string, options: CheckpointOptions = {}): Promise<Checkpoint> {
  checkPath('openCheckpoint', path)
  checkOptions('openCheckpoint', options, { signal: 'signal', onProgress: 'function' })
  options.signal?.throwIfAborted()
  const file = await findFile(path)
  return new FileCheckpoint('openCheckpoint', { ...(await openFile(file, options.signal)), path }, options)
}

async function openFile(path: string, signal: AbortSignal | undefined): Promise<CheckpointContents> {
  if (path.endsWith('.safetensors.index.json')) return openShards('openCheckpoint', path, signal)
  if (path.endsWith('.gguf')) return openGguf('openCheckpoint', path, signal)
  if (pickled.test(path)) throw refusePickled(path)
  const { file, tensors, metadata } = await openSafetensorsFile('openCheckpoint', path)
  return { format: 'safetensors', path, metadata, tensors, files: [file] }
}

/** The file to open for what a user named. */
async function findFile(path: string): Promise<string> {
  try {
    if (!(await stat(path)).isDirectory()) return path
    const names = new Set(await readdir(path))
    for (const name of [single, index]) if (names.has(name)) return join(path, name)
    const others = [...names].filter((name) => /\.(safetensors|gguf)$/.test(name))
    if (others.length === 1) return join(path, others[0]!)
    const old = [...names].find((name) => pickled.test(name))
    if (old) throw refusePickled(join(path, old))
    throw new FileError(
      `openCheckpoint: ${path}: expected ${single} or ${index} in this folder, found ${others.length ? `${others.length} other files of weights; name one of them` : 'neither'}`,
    )
  } catch (cause) {
    throw fileError('openCheckpoint', path, cause)
  }
}

const refusePickled = (path: string): FileError =>
  new FileError(
    `openCheckpoint: ${path}: ${basename(path)} is pickled by PyTorch, and reading it could run any code; convert it with transformers, ` +
      `AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True), or fetch a revision that has ${single}`,
  )
