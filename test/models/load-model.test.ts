import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { narrow } from '../../lib/checkpoint/narrow.ts'
import { readSafetensors, writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.ts'
import { FileError } from '../../lib/errors.ts'
import { AutoModelForMaskedLM } from '../../lib/models/auto.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { serveHub } from '../checkpoint/hub-server.ts'
import { heldBytes } from '../held-bytes.ts'
import { bits, referenceFolder } from './reference-suite.ts'

const gpt2 = referenceFolder('gpt2')
let scratch: string
let model: DecoderModel
let tensors: Map<string, Tensor>
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'heedful-'))
  model = await loadDecoder(gpt2)
  ;({ tensors } = await readSafetensors(join(gpt2, 'model.safetensors')))
})
afterAll(async () => {
  for (const held of [model, ...tensors.values()]) held.dispose()
  await rm(scratch, { recursive: true })
})

/** The folder of the model with other weights. */
async function folderWith(name: string, write: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(scratch, name)
  await cp(gpt2, folder, { recursive: true })
  await rm(join(folder, 'model.safetensors'))
  await write(folder)
  return folder
}

function expectSame(loaded: DecoderModel): void {
  const parameters = loaded.parameters()
  expect([...parameters.keys()]).toEqual([...model.parameters().keys()])
  for (const [path, parameter] of model.parameters()) expect(bits(parameters.get(path)!), path).toEqual(bits(parameter))
}

describe('a model opens from', () => {
  it('the parts of a checkpoint, one tensor at a time', async () => {
    const folder = await folderWith('parts', (to) => writeCheckpoint(to, tensors, {}, { maxShardSize: 40_000 }))
    expect((await readdir(folder)).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(2)
    const seen: number[] = []
    using loaded = await loadDecoder(folder, { onProgress: ({ loaded: bytes, total }) => seen.push(bytes / total) })
    expectSame(loaded)
    expect(seen.length).toBeGreaterThan(20)
    expect(seen.at(-1)).toBe(1)
  })

  it.each(['model.safetensors.index.json', 'model.safetensors'])('a file by its name: %s', async (name) => {
    const maxShardSize = name === 'model.safetensors' ? 1e9 : 40_000
    const folder = await folderWith(`by ${name}`, (to) => writeCheckpoint(to, tensors, {}, { maxShardSize }))
    using loaded = await loadDecoder(join(folder, name))
    expectSame(loaded)
  })

  it.each(['f16', 'bf16'] as const)('%s', async (dtype) => {
    const folder = await folderWith(dtype, (to) =>
      writeSafetensors(join(to, 'model.safetensors'), tensors, {}, { dtype }),
    )
    using loaded = await loadDecoder(folder)
    const stored = narrow(model.tokenEmbedding.weight.data() as Float32Array, dtype, 0)
    expect(narrow(loaded.tokenEmbedding.weight.data() as Float32Array, dtype, 0)).toEqual(stored)
  })

  it('the Hub', async () => {
    const files: Record<string, Uint8Array> = {}
    for (const name of ['config.json', 'model.safetensors']) files[name] = await readFile(join(gpt2, name))
    await using hub = await serveHub(files)
    const before = process.env['HF_ENDPOINT']
    process.env['HF_ENDPOINT'] = hub.endpoint
    try {
      const seen = new Set<string>()
      using loaded = await loadDecoder('org/name', {
        revision: 'v1',
        cache: join(scratch, 'hub'),
        onProgress: ({ file }) => seen.add(file),
      })
      expectSame(loaded)
      expect(hub.requests).toContain('/api/models/org/name/revision/v1')
      expect(seen).toContain('config.json')
    } finally {
      if (before === undefined) delete process.env['HF_ENDPOINT']
      else process.env['HF_ENDPOINT'] = before
    }
  })
})

describe('what a checkpoint has twice', () => {
  const withHead = (head: Tensor) =>
    folderWith('twice', (to) => writeSafetensors(join(to, 'model.safetensors'), [...tensors, ['lm_head.weight', head]]))
  const embedding = (): Tensor => tensors.get('transformer.wte.weight')!

  it('is read once when it is the same', async () => {
    using loaded = await loadDecoder(await withHead(embedding()))
    expectSame(loaded)
  })
  it('is refused when it is not', async () => {
    using other = tensor(
      Array.from(embedding().data(), (value, i) => (i === 77 ? value + 1 : value)),
      {
        shape: embedding().shape,
      },
    )
    const before = await heldBytes()
    const error = await loadDecoder(await withHead(other)).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(FileError)
    expect((error as Error).message).toMatch(/lm_head.weight should equal wte.weight/)
    expect(await heldBytes()).toBe(before)
  })
})

it('stops when it is aborted, and gives the memory back', async () => {
  const before = await heldBytes()
  const controller = new AbortController()
  const reason = new Error('enough')
  const loading = AutoModelForMaskedLM.fromPretrained(referenceFolder('bert-mlm'), {
    signal: controller.signal,
    onProgress: ({ loaded, total }) => loaded > total / 2 && controller.abort(reason),
  })
  expect(await loading.catch((cause: unknown) => cause)).toBe(reason)
  expect(await heldBytes()).toBe(before)
})
