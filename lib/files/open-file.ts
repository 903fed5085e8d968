import type { BigIntStats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { FileError } from '../errors.ts'
import { checkPath, fileError } from './file-error.ts'

/** A regular file that is open for reading, and stays the same one when `path` is replaced. Close it. */
export class OpenFile {
  readonly path: string
  /** Bytes when it was opened. */
  readonly size: number
  readonly handle: FileHandle
  /** The same for the same file with the same content, as far as the system tells. */
  readonly identity: string

  private constructor(path: string, stats: BigIntStats, handle: FileHandle) {
    this.path = path
    this.size = Number(stats.size)
    this.handle = handle
    this.identity = [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':')
  }

  /** Throws FileError for what is missing or no regular file: folders, and devices and pipes, which might never end. */
  static async open(operation: string, path: string): Promise<OpenFile> {
    checkPath(operation, path)
    try {
      const found = await stat(path)
      if (found.isDirectory()) throw new FileError(`${operation}: ${path}: is a folder, expected a file`)
      if (!found.isFile()) throw new FileError(`${operation}: ${path}: expected a regular file`)
      const handle = await open(path, 'r')
      try {
        return new OpenFile(path, await handle.stat({ bigint: true }), handle)
      } catch (cause) {
        await handle.close()
        throw cause
      }
    } catch (cause) {
      throw fileError(operation, path, cause)
    }
  }

  /** Fills `target` from byte `position` of the file. `where` begins the message of the FileError. */
  async read<B extends Uint8Array>(target: B, position: number, where: string): Promise<B> {
    for (let done = 0; done < target.length;) {
      const { bytesRead } = await this.handle
        .read(target, done, target.length - done, position + done)
        .catch((cause: Error) => {
          throw new FileError(`${where}: ${cause.message}`, { cause })
        })
      if (bytesRead === 0) throw new FileError(`${where}: the file ended at byte ${position + done} while it was read`)
      done += bytesRead
    }
    return target
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}
