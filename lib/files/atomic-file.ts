import { randomBytes } from 'node:crypto'
import { open, realpath, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { checkPath, fileError } from './file-error.ts'

/**
 * Writes a file that others see either as it was before or complete: a temporary file in the same folder is written,
 * flushed to the disk and renamed. When anything fails it is removed and `path` is as it was. A symbolic link stays
 * one; what it points at is replaced.
 *
 * Throws FileError for what the operating system refuses, and what `writeBody` throws.
 */
export async function writeFileAtomically(
  path: string,
  writeBody: (handle: FileHandle) => Promise<void>,
  operation = 'writeFileAtomically',
): Promise<void> {
  checkPath(operation, path)
  const target = await realpath(path).catch(() => path)
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const handle = await open(temporary, 'wx')
    try {
      await writeBody(handle)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, target)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {})
    throw fileError(operation, path, cause)
  }
  await syncFolder(dirname(target))
}

export async function writeTextAtomically(
  path: string,
  text: string,
  operation = 'writeTextAtomically',
): Promise<void> {
  await writeFileAtomically(path, (handle) => handle.writeFile(text, 'utf8'), operation)
}

/** Makes the rename survive a power cut. Not every platform can flush a folder; the file itself is safe without. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close()
}
