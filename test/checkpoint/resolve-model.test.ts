import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { resolveModel } from '../../lib/checkpoint/resolve-model.ts'
import { ArgumentError, FileError, HubError } from '../../lib/errors.ts'
import type { Progress } from '../../lib/files/progress.ts'
import { gitSha1, send, serveHub, sha256, type HubServer } from './hub-server.ts'

const config = Buffer.from('{"model_type":"test"}')
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) >> 3))
const weightsPath = '/resolve/' + 'c'.repeat(40) + '/model.safetensors'

let home: string
let hub: HubServer
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'heedful-'))
  hub = await serveHub({
    'config.json': config,
    'model.safetensors': weights,
    'pytorch_model.bin': Buffer.alloc(2000),
    'README.md': Buffer.from('# readme'),
    'onnx/model.onnx': Buffer.alloc(2000),
    '1_Pooling/config.json': Buffer.from('{}'),
  })
  for (const name of ['HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_TOKEN_PATH'])
    vi.stubEnv(name, '')
  vi.stubEnv('HF_ENDPOINT', `${hub.endpoint}/`)
  vi.stubEnv('HF_HOME', home)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
  await rm(home, { recursive: true })
})

const model = (...parts: string[]): string => join(home, 'hub', 'models--org--name', ...parts)
const blobs = (): Promise<string[]> => readdir(model('blobs')).catch(() => [])
const isWeights = (path: string): boolean => path.endsWith(weightsPath)

describe('a model of the Hub', () => {
  it('lies in the cache as Python keeps it, without what is not needed', async () => {
    const seen: Progress[] = []
    const folder = await resolveModel('org/name', { onProgress: (progress) => seen.push(progress) })
    expect(folder).toBe(model('snapshots', hub.commit))
    expect((await readdir(folder)).sort()).toEqual(['1_Pooling', 'config.json', 'model.safetensors'])
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights)
    expect(await readFile(model('refs', 'main'), 'utf8')).toBe(hub.commit)
    expect((await blobs()).sort()).toEqual([gitSha1(config), gitSha1(Buffer.from('{}')), sha256(weights)].sort())
    if (process.platform !== 'win32') {
      expect((await lstat(join(folder, 'config.json'))).isSymbolicLink()).toBe(true)
      expect(await readlink(join(folder, 'model.safetensors'))).toBe(join('..', '..', 'blobs', sha256(weights)))
      expect(await readlink(join(folder, '1_Pooling/config.json'))).toMatch(/^\.\.[/\\]\.\.[/\\]\.\.[/\\]blobs/)
    }
    const total = config.length + weights.length + 2
    expect(seen.at(-1)).toEqual({ file: 'model.safetensors', loaded: total, total })
    expect(seen.every(({ loaded }, i) => loaded >= (seen[i - 1]?.loaded ?? 0))).toBe(true)
  })

  it('is not fetched again, and only what changed of a new commit', async () => {
    await resolveModel('org/name')
    hub.requests.length = 0
    await resolveModel('org/name')
    expect(hub.requests).toEqual(['/api/models/org/name/revision/main'])
    hub.commit = 'd'.repeat(40)
    hub.files['config.json'] = Buffer.from('{"model_type":"other"}')
    hub.requests.length = 0
    const folder = await resolveModel('org/name')
    expect(folder).toBe(model('snapshots', 'd'.repeat(40)))
    expect(hub.requests).toEqual([
      '/api/models/org/name/revision/main',
      `/org/name/resolve/${'d'.repeat(40)}/config.json`,
    ])
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights)
    expect(await readFile(model('refs', 'main'), 'utf8')).toBe('d'.repeat(40))
  })

  it('is taken from what Python put there', async () => {
    await mkdir(model('blobs'), { recursive: true })
    await writeFile(model('blobs', sha256(weights)), weights)
    await resolveModel('org/name')
    expect(hub.requests.filter(isWeights)).toEqual([])
  })

  it('may be fetched several times at once', async () => {
    const folders = await Promise.all([1, 2, 3].map(() => resolveModel('org/name')))
    expect(new Set(folders).size).toBe(1)
    expect(await readFile(join(folders[0]!, 'model.safetensors'))).toEqual(weights)
    expect((await blobs()).filter((blob) => blob.includes('incomplete'))).toEqual([])
  })

  it('of another revision, in another cache', async () => {
    const folder = await resolveModel('org/name', { revision: 'refs/pr/1', cache: join(home, 'mine') })
    expect(folder).toBe(join(home, 'mine', 'models--org--name', 'snapshots', hub.commit))
    expect(await readFile(join(home, 'mine', 'models--org--name', 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(hub.commit)
    expect(hub.requests[0]).toBe('/api/models/org/name/revision/refs/pr/1')
  })

  it('in several files, or one file of GGUF among many', async () => {
    const [a, b] = [Buffer.alloc(1500, 1), Buffer.alloc(1500, 2)]
    hub.files = {
      'model.safetensors.index.json': Buffer.from('{}'),
      'model-00001-of-00002.safetensors': a,
      'model-00002-of-00002.safetensors': b,
      'consolidated.safetensors': b,
    }
    const folder = await resolveModel('org/name')
    expect((await readdir(folder)).sort()).toEqual(Object.keys(hub.files).sort().slice(1))
    hub.commit = 'd'.repeat(40)
    hub.files = { 'x-Q4_0.gguf': a, 'x-Q8_0.gguf': b }
    await expect(resolveModel('org/name')).rejects.toThrow(
      /several models; add the name of one, such as .*x-Q4_0\.gguf/,
    )
    const file = await resolveModel('org/name/x-Q8_0.gguf')
    expect(file).toBe(model('snapshots', hub.commit, 'x-Q8_0.gguf'))
    expect(await readFile(file)).toEqual(b)
    await expect(resolveModel('org/name/x.gguf')).rejects.toThrow('there is no file x.gguf')
    hub.files = { 'x-Q4_0.gguf': a }
    expect(await readdir(await resolveModel('org/name'))).toContain('x-Q4_0.gguf')
  })

  it.each<[string, string[], RegExp]>([
    ['only pickled files', ['pytorch_model.bin'], /only pytorch_model\.bin, which is not read.*convert/],
    ['no weights', ['config.json'], /no weights in safetensors or GGUF/],
  ])('with %s is refused', async (_, names, message) => {
    hub.files = Object.fromEntries(names.map((name) => [name, config]))
    await expect(resolveModel('org/name')).rejects.toThrow(message)
    expect(hub.requests).toHaveLength(1)
  })
})

describe('a server that misbehaves', () => {
  it('cuts: the rest is asked for', async () => {
    let cuts = 0
    hub.misbehave = (request, response, path) => {
      if (!isWeights(path) || ++cuts > 6) return false
      const from = Number(/\d+/.exec(request.headers.range ?? '0')![0])
      response.writeHead(from ? 206 : 200, {
        'content-length': weights.length - from,
        'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}`,
      })
      response.write(weights.subarray(from, from + 40_000), () => response.destroy())
      return true
    }
    const folder = await resolveModel('org/name')
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights)
    const ranges = hub.requests.filter((line) => line.includes(weightsPath)).map((line) => line.split('=')[1])
    expect(ranges[0]).toBeUndefined()
    expect(ranges.length).toBeGreaterThan(2)
    expect(Number.parseInt(ranges.at(-1)!)).toBeGreaterThan(0)
  })

  it('cuts for good: what there is stays for the next time', async () => {
    hub.misbehave = (request, response, path) => {
      if (!isWeights(path)) return false
      if (request.headers.range) response.destroy()
      else {
        response.writeHead(200, { 'content-length': weights.length })
        response.write(weights.subarray(0, 1000), () => setTimeout(() => response.destroy(), 50))
      }
      return true
    }
    const error = await resolveModel('org/name').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(HubError)
    expect((error as Error).message).toMatch(/^resolveModel: org\/name@main: model\.safetensors: .*HF_ENDPOINT/)
    expect(await blobs()).toContain(`${sha256(weights)}.incomplete`)
    expect(await blobs()).not.toContain(sha256(weights))
    expect(await readdir(model('refs')).catch(() => [])).toEqual([])
    hub.misbehave = () => false
    hub.requests.length = 0
    await resolveModel('org/name')
    expect(hub.requests.at(-1)).toMatch(/model\.safetensors bytes=1000-$/)
    expect(await blobs()).not.toContain(`${sha256(weights)}.incomplete`)
  })

  it('knows no ranges: starts again', async () => {
    await mkdir(model('blobs'), { recursive: true })
    await writeFile(model('blobs', `${sha256(weights)}.incomplete`), Buffer.alloc(5000, 7))
    hub.misbehave = (request, response, path) => {
      if (isWeights(path)) delete request.headers.range
      return false
    }
    expect(await readFile(join(await resolveModel('org/name'), 'model.safetensors'))).toEqual(weights)
  })

  it('sent something else before: it is noticed, and fetched anew', async () => {
    await mkdir(model('blobs'), { recursive: true })
    await writeFile(model('blobs', `${sha256(weights)}.incomplete`), Buffer.alloc(5000, 7))
    expect(await readFile(join(await resolveModel('org/name'), 'model.safetensors'))).toEqual(weights)
    await rm(model('blobs', sha256(weights)))
    await writeFile(model('blobs', `${sha256(weights)}.incomplete`), Buffer.alloc(weights.length + 1))
    expect(await readFile(join(await resolveModel('org/name'), 'model.safetensors'))).toEqual(weights)
  })

  it.each(['config.json', 'model.safetensors'])(
    'sends a %s of another hash: a HubError, and nothing is kept',
    async (name) => {
      hub.misbehave = (request, response, path) => {
        if (!path.endsWith(`/${hub.commit}/${name}`)) return false
        const wrong = Buffer.from(hub.files[name]!)
        wrong[5]! ^= 1
        send(request, response, wrong)
        return true
      }
      await expect(resolveModel('org/name')).rejects.toThrow(/expected the hash [0-9a-f]+, got [0-9a-f]+; .*damaged/)
      expect((await blobs()).filter((blob) => blob.includes('incomplete'))).toEqual([])
    },
  )

  it('sends more than it promised', async () => {
    hub.misbehave = (request, response, path) => {
      if (isWeights(path)) send(request, response, Buffer.concat([weights, weights]))
      return isWeights(path)
    }
    await expect(resolveModel('org/name')).rejects.toThrow('sends more than the 300000 bytes')
  })

  it.each<[number, RegExp]>([
    [401, /access denied \(401\); there is no such model, or it is not public: set HF_TOKEN/],
    [403, /access denied \(403\)/],
    [404, /not found \(404\); check the name and the revision/],
    [418, /the server answers 418/],
  ])('answers %d', async (status, message) => {
    hub.misbehave = (_, response) => Boolean(response.writeHead(status).end())
    const error = await resolveModel('org/name').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(HubError)
    expect(error).toMatchObject({ status, code: 'HEEDFUL_HUB' })
    expect((error as Error).message).toMatch(message)
    expect(hub.requests).toHaveLength(1)
  })

  it('is busy for a while', async () => {
    let busy = 0
    hub.misbehave = (_, response) => busy++ < 2 && Boolean(response.writeHead(503).end())
    await resolveModel('org/name')
    expect(busy).toBeGreaterThan(2)
  })

  it('falls silent', async () => {
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1')
    hub.misbehave = () => true
    await expect(resolveModel('org/name')).rejects.toThrow('no answer for 0.1 s')
  })

  it('is slow, and is given up when asked to', async () => {
    const controller = new AbortController()
    hub.misbehave = (_, response, path) => {
      if (!isWeights(path)) return false
      response.writeHead(200, { 'content-length': weights.length })
      response.write(weights.subarray(0, 100))
      return true
    }
    const resolved = resolveModel('org/name', { signal: controller.signal }).catch((e: unknown) => e)
    while (!hub.requests.some((line) => line.includes(weightsPath))) await sleep(5)
    const start = performance.now()
    controller.abort(new Error('enough'))
    expect(await resolved).toEqual(new Error('enough'))
    expect(performance.now() - start).toBeLessThan(1000)
  })

  it.each<[string, (json: { sha: unknown; siblings: Record<string, unknown>[] }) => unknown]>([
    [
      'a path outside of the folder',
      (json) => ({ ...json, siblings: [{ ...json.siblings[0], rfilename: '../../x' }] }),
    ],
    ['an absolute path', (json) => ({ ...json, siblings: [{ ...json.siblings[0], rfilename: '/x' }] })],
    ['a path with a control character', (json) => ({ ...json, siblings: [{ ...json.siblings[0], rfilename: 'x\0' }] })],
    ['a path of Windows', (json) => ({ ...json, siblings: [{ ...json.siblings[0], rfilename: 'C:\\x' }] })],
    ['a hash that is a path', (json) => ({ ...json, siblings: [{ ...json.siblings[0], blobId: '../../x' }] })],
    ['no hash', (json) => ({ ...json, siblings: [{ rfilename: 'config.json', size: 1 }] })],
    ['a negative size', (json) => ({ ...json, siblings: [{ ...json.siblings[0], size: -1 }] })],
    ['a commit that is a path', (json) => ({ ...json, sha: '../x' })],
    ['no files', (json) => ({ sha: json.sha })],
    ['an array', () => []],
  ])('lists %s', async (_, listing) => {
    hub.listing = listing
    await expect(resolveModel('org/name')).rejects.toThrow("the server's list of files is none")
    expect(await readdir(home)).toEqual([])
  })
})

describe('access', () => {
  it('sends the token to the endpoint, and not to where that redirects', async () => {
    await using other = await serveHub({ 'model.safetensors': weights })
    other.misbehave = (request, response) => {
      send(request, response, weights)
      return true
    }
    hub.misbehave = (_, response, path) =>
      isWeights(path) &&
      Boolean(response.writeHead(302, { location: `${other.endpoint.replace('127.0.0.1', 'localhost')}/signed` }).end())
    vi.stubEnv('HF_TOKEN', 'hf_secret')
    expect(await readFile(join(await resolveModel('org/name'), 'model.safetensors'))).toEqual(weights)
    expect(new Set(hub.tokens)).toEqual(new Set(['Bearer hf_secret']))
    expect(other.tokens).toEqual([undefined])
  })

  it('takes the token that the command line of the Hub has kept', async () => {
    await writeFile(join(home, 'token'), 'hf_kept\n')
    await resolveModel('org/name')
    expect(new Set(hub.tokens)).toEqual(new Set(['Bearer hf_kept']))
  })
})

describe('without a connection', () => {
  it('gives what was fetched before, else says so', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    await expect(resolveModel('org/name')).rejects.toThrow(/not in .*hub, and HF_HUB_OFFLINE is set/)
    vi.stubEnv('HF_HUB_OFFLINE', '0')
    const folder = await resolveModel('org/name')
    const asked = hub.requests.length
    vi.stubEnv('HF_HUB_OFFLINE', 'true')
    expect(await resolveModel('org/name')).toBe(folder)
    expect(await resolveModel('org/name', { revision: hub.commit })).toBe(folder)
    await expect(resolveModel('org/name', { revision: 'other' })).rejects.toThrow(HubError)
    expect(hub.requests).toHaveLength(asked)
    vi.stubEnv('HF_HUB_OFFLINE', '')
    await hub.close()
    expect(await resolveModel('org/name')).toBe(folder)
    await expect(resolveModel('org/other')).rejects.toThrow(/ECONNREFUSED.*HF_HUB_OFFLINE=1/)
  })
})

describe('arguments', () => {
  it('a path that exists is given as it is', async () => {
    expect(await resolveModel(home)).toBe(home)
    expect(hub.requests).toEqual([])
  })
  it.each([
    './none',
    '../none/x',
    '/none/x',
    'none',
    'a/../b',
    'org/.git',
    'org\\name',
    'org/na me',
    'a--b/c',
    'org/name/../x',
  ])('%s is neither', async (name) => {
    await expect(resolveModel(name)).rejects.toThrow(FileError)
    expect(hub.requests).toEqual([])
  })
  it.each(['', '..', 'a/../b', 'a b', '/a', 'a?b', 1, null])('the revision %s is refused', async (revision) => {
    await expect(resolveModel('org/name', { revision: revision as never })).rejects.toThrow(ArgumentError)
  })
  it.each([
    ['HF_ENDPOINT', 'nowhere'],
    ['HF_HUB_DOWNLOAD_TIMEOUT', 'soon'],
    ['HF_TOKEN', 'a\nb'],
  ])('%s=%s is refused', async (name, value) => {
    vi.stubEnv(name, value)
    await expect(resolveModel('org/name')).rejects.toThrow(ArgumentError)
  })
})
