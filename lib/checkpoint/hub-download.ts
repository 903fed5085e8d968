import { createHash } from 'node:crypto'
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { HubError } from '../errors.ts'
import { fileError } from '../files/file-error.ts'
import type { HubFile } from './hub-listing.ts'
import { persist, request, TransientError, type HubResponse } from './hub-request.ts'
import type { HubSettings } from './hub-settings.ts'

const sizeOfFile = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  )

/**
 * Fetches a file to `blob`, by way of `blob`.incomplete, where a later call goes on after a cut, a kill or an abort, and
 * checks size and hash before it gets its name. Several processes may do so at once: they write the same bytes to the
 * same places. `onBytes` is told how many bytes there are.
 *
 * Throws HubError, and leaves no `blob` then.
 */
export async function download(
  settings: HubSettings,
  url: string,
  file: HubFile,
  blob: string,
  where: string,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const incomplete = `${blob}.incomplete`
  let reached = 0
  const attempt = async (): Promise<void> => {
    const handle = await open(incomplete, 'r+').catch(() => open(incomplete, 'w+'))
    try {
      const found = (await handle.stat()).size
      if (found > file.size) await handle.truncate(0)
      reached = found > file.size ? 0 : found
      onBytes(reached)
      if (reached === file.size) return
      const headers: Record<string, string> = reached ? { range: `bytes=${reached}-` } : {}
      await request(settings, url, { ...headers, 'accept-encoding': 'identity' }, where, signal, async (response) => {
        reached = await startOf(response, reached, handle)
        for await (const piece of response.pieces()) {
          if (reached + piece.length > file.size)
            throw new HubError(`${where}: the server sends more than the ${file.size} bytes that it promised`)
          await writeAll(handle, piece, reached)
          reached += piece.length
          onBytes(reached)
        }
      })
      if (reached < file.size) throw new TransientError(`cut off at byte ${reached} of ${file.size}`)
    } finally {
      await handle.close()
    }
  }
  try {
    for (let tries = 2; ; tries--) {
      await persist(where, signal, () => reached, attempt)
      const found = await hashOf(incomplete, file, signal)
      if (found === file.hash) break
      await rm(incomplete, { force: true })
      reached = 0
      if (tries === 1)
        throw new HubError(`${where}: expected the hash ${file.hash}, got ${found}; what the server sends is damaged`)
    }
    await rename(incomplete, blob)
  } catch (cause) {
    // Another process may have been faster.
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' && (await sizeOfFile(blob)) === file.size) return
    throw fileError('resolveModel', blob, cause)
  }
}

/** Where the bytes of a response belong: where we asked for, or the start when the server can't do that. */
async function startOf({ status, headers }: HubResponse, asked: number, handle: FileHandle): Promise<number> {
  if (status === 206 && headers.get('content-range')?.startsWith(`bytes ${asked}-`)) return asked
  if (status === 200 && asked === 0) return 0
  await handle.truncate(0)
  if (status === 200) return 0
  throw new TransientError('the server sends another part of the file than was asked for')
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;)
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/** Of what lies on the disk, not of what was sent. */
async function hashOf(path: string, { hash, size }: HubFile, signal: AbortSignal | undefined): Promise<string> {
  const digest = hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
  const handle = await open(path, 'r')
  try {
    const chunk = new Uint8Array(2 ** 20)
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) break
      digest.update(chunk.subarray(0, bytesRead))
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  return digest.digest('hex')
}
