import { HubError } from '../errors.ts'
import { decodeUtf8, isObject, parseJsonObject } from '../files/read-file.ts'
import { persist, request } from './hub-request.ts'
import type { HubSettings } from './hub-settings.ts'

/** A file of a model at one commit. */
export interface HubFile {
  readonly path: string
  readonly size: number
  /** SHA-256 of the content of a large file, SHA-1 as git computes it of a small one: also its name in the cache. */
  readonly hash: string
}

export interface Listing {
  readonly commit: string
  readonly files: readonly HubFile[]
}

const maxListingBytes = 2 ** 26
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

/** The files of a model at a revision: GET /api/models/{id}/revision/{revision}?blobs=true. */
export async function listModel(
  settings: HubSettings,
  id: string,
  revision: string,
  where: string,
  signal: AbortSignal | undefined,
): Promise<Listing> {
  const url = `${settings.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`
  const text = await persist(
    where,
    signal,
    () => 0,
    () =>
      request(settings, url, { accept: 'application/json' }, where, signal, async (response) => {
        const pieces: Uint8Array[] = []
        let bytes = 0
        for await (const piece of response.pieces()) {
          if ((bytes += piece.length) > maxListingBytes)
            throw new HubError(`${where}: the server's list of files has more than ${maxListingBytes} bytes`)
          pieces.push(piece)
        }
        return Buffer.concat(pieces)
      }),
  )
  try {
    return parseListing(parseJsonObject(decodeUtf8(text, where), where))
  } catch (cause) {
    throw new HubError(`${where}: the server's list of files is none: ${(cause as Error).message}`, { cause })
  }
}

function parseListing({ sha, siblings }: Record<string, unknown>): Listing {
  if (typeof sha !== 'string' || !isCommit(sha)) throw new Error('sha should be a commit')
  if (!Array.isArray(siblings)) throw new Error('siblings should be an array')
  const files = siblings.map((sibling: unknown) => {
    if (!isObject(sibling)) throw new Error('siblings should be objects')
    const { rfilename: path, lfs, blobId } = sibling
    // It becomes a path in the cache: nothing outside of it, and nothing that a system reads as something else.
    if (
      typeof path !== 'string' ||
      path.split('/').some((part) => !/^[^\\:*?"<>|\p{Cc}]+$/u.test(part) || /^\.+$/.test(part))
    )
      throw new Error(`${JSON.stringify(path)} is no path of a file`)
    const size = isObject(lfs) ? lfs['size'] : sibling['size']
    const hash = isObject(lfs) ? lfs['sha256'] : blobId
    if (!Number.isSafeInteger(size) || (size as number) < 0) throw new Error(`${path}: size should be a whole number`)
    if (typeof hash !== 'string' || !(isObject(lfs) ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hash))
      throw new Error(`${path}: there should be a hash`)
    return { path, size: size as number, hash }
  })
  return { commit: sha, files }
}
