import { copyFile, mkdir, readFile, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { fileError } from '../files/file-error.ts'
import { isCommit } from './hub-listing.ts'

/**
 * A model's folder in the cache that the Python library huggingface_hub keeps, too:
 *
 *     models--org--name/blobs/<hash>                    contents
 *     models--org--name/snapshots/<commit>/<path>       links to them
 *     models--org--name/refs/<revision>                 the commit of a branch or tag
 */
export class ModelCache {
  readonly #folder: string

  constructor(cache: string, id: string) {
    this.#folder = join(cache, `models--${id.replaceAll('/', '--')}`)
  }

  blob(hash: string): string {
    return join(this.#folder, 'blobs', hash)
  }
  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit)
  }

  /** The commit that a revision was at when it was last fetched. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision
    const text = await readFile(join(this.#folder, 'refs', revision), 'utf8').catch(() => '')
    return isCommit(text.trim()) ? text.trim() : undefined
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return
    const path = join(this.#folder, 'refs', revision)
    await this.#makeFolder(dirname(path))
    await writeTextAtomically(path, commit, 'resolveModel')
  }

  /** Makes the folders that a file of this commit needs. */
  async prepare(commit: string, path: string): Promise<void> {
    await this.#makeFolder(dirname(this.blob('x')))
    await this.#makeFolder(dirname(join(this.snapshot(commit), path)))
  }

  /** Puts what lies under `hash` to its path. A copy where there can be no link, as on Windows without the right to. */
  async link(commit: string, path: string, hash: string): Promise<void> {
    const target = join(this.snapshot(commit), path)
    await symlink(relative(dirname(target), this.blob(hash)), target).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') return
      await copyFile(this.blob(hash), target).catch((error) => {
        throw fileError('resolveModel', target, error)
      })
    })
  }

  async #makeFolder(path: string): Promise<void> {
    await mkdir(path, { recursive: true }).catch((cause) => {
      throw fileError('resolveModel', path, cause)
    })
  }
}

/** True for a file of exactly this size. */
export const hasSize = (path: string, size: number): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile() && found.size === size,
    () => false,
  )
