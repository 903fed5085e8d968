import { join } from 'node:path'
import { ArgumentError, checkOptions, describe, FileError, HubError } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import type { OnProgress } from '../files/progress.ts'
import { exists } from '../files/read-file.ts'
import { hasSize, ModelCache } from './hub-cache.ts'
import { download } from './hub-download.ts'
import { neededFiles } from './hub-files.ts'
import { listModel, type Listing } from './hub-listing.ts'
import { TransientError } from './hub-request.ts'
import { readHubSettings, type HubSettings } from './hub-settings.ts'

export interface ResolveModelOptions {
  /** Branch, tag or commit; `main` unless given. */
  revision?: string
  /** Stops at once; a later call goes on where this one stopped. */
  signal?: AbortSignal
  onProgress?: OnProgress
  /** The folder of the cache, instead of what HF_HUB_CACHE or HF_HOME say. */
  cache?: string
}

/**
 * The local folder or file of a model. A path that exists is given back as it is. `org/name`, or `org/name/file.gguf`, is
 * a model of the Hugging Face Hub: what is needed of it (configuration, tokenizer, safetensors or GGUF; nothing pickled)
 * is fetched into the cache that Python's huggingface_hub uses, too, if it is not there. Downloads go on where they were
 * cut, and are checked by their hash. Of the environment count HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME,
 * HF_HUB_CACHE and HF_HUB_DOWNLOAD_TIMEOUT; without a connection, what was fetched before is given.
 *
 * Throws HubError for what the Hub refuses or lacks, FileError for what is neither path nor id and for what can't be
 * written.
 */
export async function resolveModel(model: string, options: ResolveModelOptions = {}): Promise<string> {
  checkPath('resolveModel', model)
  checkOptions('resolveModel', options, { revision: 'any', signal: 'signal', onProgress: 'function', cache: 'any' })
  const { revision = 'main', signal, cache } = options
  if (typeof revision !== 'string' || !/^[\w./-]+$/.test(revision) || /(^|\/)\.{0,2}(\/|$)/.test(revision))
    throw new ArgumentError(
      `resolveModel: revision should be the name of a branch, a tag or a commit, got ${describe(revision)}`,
    )
  if (cache !== undefined) checkPath('resolveModel: cache', cache)
  signal?.throwIfAborted()
  if (await exists(model)) return model
  const parts = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:\/(.+))?$/.exec(model)
  if (!parts || model.includes('--') || model.split('/').some((part) => part.startsWith('.')))
    throw new FileError(
      `resolveModel: ${model}: no such file or folder, nor can it be a model of the Hub, such as org/name or org/name/file.gguf`,
    )
  const [, id, wanted] = parts as unknown as [string, string, string | undefined]
  return fetchModel(await readHubSettings('resolveModel', cache), id, wanted, revision, options)
}

async function fetchModel(
  settings: HubSettings,
  id: string,
  wanted: string | undefined,
  revision: string,
  { signal, onProgress }: ResolveModelOptions,
): Promise<string> {
  const where = `resolveModel: ${id}@${revision}`
  const cache = new ModelCache(settings.cache, id)
  const asked = (commit: string): string => join(cache.snapshot(commit), wanted ?? '')
  const cached = async (): Promise<string | undefined> => {
    const commit = await cache.commitOf(revision)
    return commit && (await exists(asked(commit))) ? asked(commit) : undefined
  }
  if (settings.offline) {
    const found = await cached()
    if (found) return found
    throw new HubError(
      `${where}: not in ${settings.cache}, and HF_HUB_OFFLINE is set; fetch it once without, or give a folder`,
    )
  }
  let listing: Listing
  try {
    listing = await listModel(settings, id, revision, where, signal)
  } catch (error) {
    const found = error instanceof HubError && error.cause instanceof TransientError ? await cached() : undefined
    if (found) return found
    throw error
  }
  const { commit, files } = listing
  const needed = neededFiles(files, wanted, where)
  const total = needed.reduce((sum, { size }) => sum + size, 0)
  let before = 0
  for (const file of needed) {
    const { path, size, hash } = file
    const tell = (bytes: number): void => onProgress?.({ file: path, loaded: before + bytes, total })
    if (!(await hasSize(join(cache.snapshot(commit), path), size))) {
      await cache.prepare(commit, path)
      if (!(await hasSize(cache.blob(hash), size))) {
        const url = `${settings.endpoint}/${id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
        await download(settings, url, file, cache.blob(hash), `${where}: ${path}`, signal, tell)
      }
      await cache.link(commit, path, hash)
    }
    tell(size)
    before += size
  }
  // Last: who works offline finds what is whole.
  await cache.setCommit(revision, commit)
  return asked(commit)
}
