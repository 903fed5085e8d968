import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
export const gitSha1 = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

/** Answers a request by itself when it returns true. */
type Misbehave = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | Promise<boolean>

export interface HubServer extends AsyncDisposable {
  readonly endpoint: string
  /** Method and address of every request, with its range. */
  readonly requests: string[]
  readonly tokens: (string | undefined)[]
  misbehave: Misbehave
  commit: string
  files: Record<string, Uint8Array>
  /** Changes the list of files before it is sent. */
  listing: (json: { sha: unknown; siblings: Record<string, unknown>[] }) => unknown
  close(): Promise<void>
}

/** A Hub of one model, org/name, on the loopback: files of at least 1000 bytes are large ones. */
export async function serveHub(files: Record<string, Uint8Array>): Promise<HubServer> {
  const server: Server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  const hub: HubServer = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    tokens: [],
    misbehave: () => false,
    commit: 'c'.repeat(40),
    files,
    listing: (json) => json,
    close,
    [Symbol.asyncDispose]: close,
  }
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(request.url!.split('?')[0]!)
    hub.requests.push(`${path} ${request.headers.range ?? ''}`.trim())
    hub.tokens.push(request.headers.authorization)
    if (await hub.misbehave(request, response, path)) return
    if (path.startsWith('/api/models/org/name/revision/')) {
      const siblings = Object.entries(hub.files).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: gitSha1(bytes),
        ...(bytes.length >= 1000 && { lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
      }))
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(hub.listing({ sha: hub.commit, siblings })))
      return
    }
    const bytes = hub.files[path.replace(`/org/name/resolve/${hub.commit}/`, '')]
    if (!bytes) {
      response.writeHead(404).end()
      return
    }
    send(request, response, bytes)
  }
  return hub
}

/** The bytes that a request asks for. */
export function send(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (from) {
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`)
  }
  response.setHeader('content-length', bytes.length - from)
  response.end(bytes.subarray(from))
}
