import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ArgumentError } from '../errors.ts'

/** What the environment says of the Hugging Face Hub, by the variables that its Python library reads. */
export interface HubSettings {
  /** HF_ENDPOINT, without a slash at its end. */
  readonly endpoint: string
  /** HF_HUB_CACHE, or hub in HF_HOME. */
  readonly cache: string
  /** HF_TOKEN, or the file that `hf auth login` writes. */
  readonly token: string | undefined
  /** HF_HUB_OFFLINE */
  readonly offline: boolean
  /** HF_HUB_DOWNLOAD_TIMEOUT: how long a server may say nothing. */
  readonly timeoutMs: number
}

export async function readHubSettings(operation: string, cache: string | undefined): Promise<HubSettings> {
  const { env } = process
  const endpoint = (env['HF_ENDPOINT'] || 'https://huggingface.co').replace(/\/+$/, '')
  if (!/^https?:\/\/[^\s?#]+$/.test(endpoint))
    throw new ArgumentError(`${operation}: HF_ENDPOINT should be an address such as https://host, got ${endpoint}`)
  const home = env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface')
  const seconds = Number(env['HF_HUB_DOWNLOAD_TIMEOUT'] || 10)
  if (!(seconds > 0 && seconds <= 86_400))
    throw new ArgumentError(
      `${operation}: HF_HUB_DOWNLOAD_TIMEOUT should be seconds, got ${env['HF_HUB_DOWNLOAD_TIMEOUT']}`,
    )
  const tokenFile = env['HF_TOKEN_PATH'] || join(home, 'token')
  const token = env['HF_TOKEN'] || (await readFile(tokenFile, 'utf8').catch(() => '')).trim() || undefined
  if (token && /[^\x21-\x7e]/.test(token))
    throw new ArgumentError(`${operation}: the access token (HF_TOKEN) holds characters that none can have`)
  return {
    endpoint,
    cache: cache ?? (env['HF_HUB_CACHE'] || env['HUGGINGFACE_HUB_CACHE'] || join(home, 'hub')),
    token,
    offline: /^(1|true|yes|on)$/i.test(env['HF_HUB_OFFLINE'] ?? ''),
    timeoutMs: seconds * 1000,
  }
}
