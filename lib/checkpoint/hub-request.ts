import { setTimeout as sleep } from 'node:timers/promises'
import { HubError } from '../errors.ts'
import type { HubSettings } from './hub-settings.ts'

/** What may go better the next time: no connection, silence, a server that is busy. */
export class TransientError extends Error {}

/** A response, and the way to its bytes; each piece must come before the time is over. */
export interface HubResponse {
  readonly status: number
  readonly headers: Headers
  pieces(): AsyncGenerator<Uint8Array, void, undefined>
}

/**
 * One GET. The access token goes to the endpoint only, never to where that redirects. Throws HubError for what will not
 * change by trying again, TransientError for the rest.
 */
export async function request<T>(
  { token, timeoutMs }: HubSettings,
  url: string,
  headers: Record<string, string>,
  where: string,
  signal: AbortSignal | undefined,
  use: (response: HubResponse) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const wait = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => controller.abort(new TransientError(`no answer for ${timeoutMs / 1000} s`)), timeoutMs)
  }
  const stop = (): void => controller.abort(signal!.reason)
  signal?.throwIfAborted()
  signal?.addEventListener('abort', stop)
  try {
    wait()
    const response = await transient(controller, () =>
      fetch(url, {
        headers: { 'user-agent': 'heedful', ...headers, ...(token && { authorization: `Bearer ${token}` }) },
        signal: controller.signal,
      }),
    )
    if (!response.ok && response.status !== 416) {
      await response.body?.cancel()
      throw refusal(response, where, token)
    }
    return await use({
      status: response.status,
      headers: response.headers,
      async *pieces() {
        const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined
        while (reader) {
          wait()
          const { done, value } = await transient(controller, () => reader.read())
          if (done) return
          // What is done with it takes the time of this side.
          clearTimeout(timer)
          yield value
        }
      },
    })
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    controller.abort()
  }
}

/** What fetch throws, as what it means. */
async function transient<T>(controller: AbortController, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (cause) {
    if (controller.signal.aborted) throw controller.signal.reason
    const { cause: deeper } = cause as { cause?: Error }
    throw new TransientError(deeper?.message || (cause as Error).message, { cause })
  }
}

function refusal({ status, headers }: Response, where: string, token: string | undefined): Error {
  if (status >= 500 || status === 429 || status === 408) return new TransientError(`the server answers ${status}`)
  const said = headers.get('x-error-message')?.slice(0, 200)
  const reason = said ? `${status}: ${said}` : String(status)
  if (status === 401 || status === 403)
    return new HubError(
      `${where}: access denied (${reason}); ${token ? 'the access token (HF_TOKEN) does not allow it; ask for access on the page of the model' : 'there is no such model, or it is not public: set HF_TOKEN'}`,
      { status },
    )
  if (status === 404)
    return new HubError(`${where}: not found (${reason}); check the name and the revision`, { status })
  return new HubError(`${where}: the server answers ${reason}`, { status })
}

const pauses = [100, 400, 1600]

/** Tries again after failures that may pass, as long as each attempt gets further, and three times when none does. */
export async function persist<T>(
  where: string,
  signal: AbortSignal | undefined,
  progress: () => number,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 0, reached = progress(); ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof TransientError)) throw error
      if (progress() > reached) failures = 0
      reached = progress()
      if (failures === pauses.length)
        throw new HubError(
          `${where}: ${error.message}; check the connection and HF_ENDPOINT, or set HF_HUB_OFFLINE=1`,
          {
            cause: error,
          },
        )
      await sleep(pauses[failures], undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
    }
  }
}
