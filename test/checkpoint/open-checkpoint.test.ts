import { mkdtemp, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { parseHeader } from '../../lib/checkpoint/safetensors-header.ts'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { ArgumentError, DisposedError, DTypeError, FileError } from '../../lib/errors.ts'
import type { Progress } from '../../lib/files/progress.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { heldBytes } from '../held-bytes.ts'
import { mutate, numbers } from './mutations.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterEach(() => rm(folder, { recursive: true }))

const inFolder = (name: string): string => join(folder, name)
async function write(name: string, values: Readonly<Record<string, number[]>>, metadata = {}): Promise<void> {
  const tensors = Object.entries(values).map(([key, numbers]) => [key, tensor(numbers)] as const)
  await writeSafetensors(inFolder(name), tensors, metadata)
  for (const [, written] of tensors) written.dispose()
}
const writeIndex = (weight_map: unknown, metadata: unknown = { total_size: 20 }): Promise<void> =>
  writeFile(inFolder('model.safetensors.index.json'), JSON.stringify({ metadata, weight_map }))
const file = (header: object, data: Uint8Array = new Uint8Array(0)): Buffer => {
  const text = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([size, text, data])
}

async function values(path: string): Promise<Record<string, unknown>> {
  await using checkpoint = await openCheckpoint(path)
  const found: Record<string, unknown> = {}
  for (const name of checkpoint.tensors.keys()) {
    using read = await checkpoint.read(name)
    found[name] = read.toArray()
  }
  return found
}

describe('one file', () => {
  it('tells names, shapes and types, and reads tensors in any order', async () => {
    const halves = Uint16Array.of(0x3f80, 0xc000)
    const header = {
      __metadata__: { format: 'pt' },
      a: { dtype: 'BF16', shape: [2, 1], data_offsets: [0, 4] },
      b: { dtype: 'I8', shape: [3], data_offsets: [4, 7] },
      c: { dtype: 'F8_E4M3', shape: [1], data_offsets: [7, 8] },
    }
    await writeFile(
      inFolder('model.safetensors'),
      file(header, Uint8Array.of(...new Uint8Array(halves.buffer), 1, 255, 3, 9)),
    )
    await using checkpoint = await openCheckpoint(folder)
    expect(checkpoint).toMatchObject({ format: 'safetensors', path: folder, metadata: { format: 'pt' } })
    expect([...checkpoint.tensors]).toEqual([
      ['a', { shape: [2, 1], fileType: 'BF16', dtype: 'f32', byteLength: 4 }],
      ['b', { shape: [3], fileType: 'I8', dtype: 'i32', byteLength: 3 }],
      ['c', { shape: [1], fileType: 'F8_E4M3', dtype: undefined, byteLength: 1 }],
    ])
    using b = await checkpoint.read('b')
    expect([b.dtype, b.toArray()]).toEqual(['i32', [1, -1, 3]])
    using a = await checkpoint.read('a')
    expect(a.toArray()).toEqual([[1], [-2]])
    expect(await checkpoint.readBytes('a')).toEqual(new Uint8Array(halves.buffer))
    expect(await checkpoint.readBytes('c')).toEqual(Uint8Array.of(9))
    await expect(checkpoint.read('c')).rejects.toThrow(DTypeError)
    await expect(checkpoint.read('d')).rejects.toThrow(ArgumentError)
    await expect(checkpoint.read('toString')).rejects.toThrow('holds no tensor named "toString"')
    await expect(checkpoint.read('a', { sgnal: 1 } as never)).rejects.toThrow('did you mean signal?')
  })

  it('is read as it was when it is replaced, and not after it is closed', async () => {
    await write('model.safetensors', { x: [1, 2] })
    const checkpoint = await openCheckpoint(inFolder('model.safetensors'))
    await write('other.safetensors', { x: [3, 4] })
    await rename(inFolder('other.safetensors'), inFolder('model.safetensors'))
    using x = await checkpoint.read('x')
    expect(x.toArray()).toEqual([1, 2])
    await checkpoint.close()
    await checkpoint.close()
    await expect(checkpoint.read('x')).rejects.toThrow(DisposedError)
  })

  it('gives a FileError, and the memory back, when it is cut while it is open', async () => {
    await write('model.safetensors', { x: [1, 2], y: [3, 4] })
    await using checkpoint = await openCheckpoint(folder)
    await truncate(inFolder('model.safetensors'), (await stat(inFolder('model.safetensors'))).size - 4)
    const before = await heldBytes()
    await expect(checkpoint.read('y')).rejects.toThrow(FileError)
    expect(await heldBytes()).toBe(before)
  })

  it('reads many at a time', async () => {
    const numbers = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`t${i}`, [i, -i]]))
    await write('model.safetensors', numbers)
    await using checkpoint = await openCheckpoint(folder)
    const read = await Promise.all([...checkpoint.tensors.keys()].map((name) => checkpoint.read(name)))
    expect(read.map((x) => x.toArray())).toEqual(Object.values(numbers))
    for (const x of read) x.dispose()
  })

  it('tells its progress, and stops between two chunks', async () => {
    using large = tensor.ones([3 * 2 ** 20])
    using small = tensor.ones([2])
    await writeSafetensors(inFolder('model.safetensors'), [
      ['large', large],
      ['small', small],
    ])
    const seen: Progress[] = []
    const controller = new AbortController()
    await using checkpoint = await openCheckpoint(folder, { onProgress: (progress) => seen.push(progress) })
    const total = 12 * 2 ** 20 + 8
    ;(await checkpoint.read('small')).dispose()
    ;(await checkpoint.read('small')).dispose()
    ;(await checkpoint.read('large')).dispose()
    expect(seen.map(({ loaded }) => loaded)).toEqual([8, 2 ** 22 + 8, 2 ** 23 + 8, total])
    expect(new Set(seen.map((progress) => progress.total))).toEqual(new Set([total]))

    await using another = await openCheckpoint(folder, { onProgress: () => controller.abort(new Error('enough')) })
    const before = await heldBytes()
    await expect(another.read('large', { signal: controller.signal })).rejects.toThrow('enough')
    await expect(openCheckpoint(folder, { signal: controller.signal })).rejects.toThrow('enough')
    expect(await heldBytes()).toBe(before)
  })
})

describe('several files', () => {
  beforeEach(async () => {
    await write('model-00001-of-00002.safetensors', { a: [1], b: [2, 3] }, { format: 'pt' })
    await write('model-00002-of-00002.safetensors', { c: [4, 5] })
  })
  const right = {
    a: 'model-00001-of-00002.safetensors',
    b: 'model-00001-of-00002.safetensors',
    c: 'model-00002-of-00002.safetensors',
  }

  it('are one checkpoint', async () => {
    await writeIndex(right)
    await using checkpoint = await openCheckpoint(folder)
    expect(checkpoint.metadata).toEqual({ format: 'pt', total_size: 20 })
    expect(await values(folder)).toEqual({ a: [1], b: [2, 3], c: [4, 5] })
    expect(await values(inFolder('model.safetensors.index.json'))).toEqual({ a: [1], b: [2, 3], c: [4, 5] })
  })

  it.each<[string, unknown, string]>([
    [
      'a tensor that is in no file',
      { ...right, d: right.a },
      'tensor "d" into model-00001-of-00002.safetensors, which lacks it',
    ],
    ['a tensor that the index lacks', { a: right.a, c: right.c }, 'tensor "b" lies in'],
    [
      'a tensor in another file',
      { ...right, b: right.c },
      'tensor "b" lies in model-00001-of-00002.safetensors, but weight_map says model-00002',
    ],
    ['a file that is missing', { ...right, d: 'none.safetensors' }, 'no such file'],
    ['a file outside of the folder', { a: '../x.safetensors' }, 'weight_map: "a" should be in a file'],
    ['an absolute path', { a: '/etc/x.safetensors' }, 'weight_map: "a" should be in a file'],
    ['a Windows path', { a: 'C:\\x.safetensors' }, 'weight_map: "a" should be in a file'],
    ['a pickled file', { a: 'pytorch_model.bin' }, 'weight_map: "a" should be in a file'],
    ['a number', { a: 1 }, 'weight_map: "a" should be in a file'],
    [
      'thousands of files',
      Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`t${i}`, `${i}.safetensors`])),
      'at most 2000 files',
    ],
    ['no weight_map', undefined, 'weight_map should be an object'],
    ['an array', [], 'weight_map should be an object'],
  ])('an index with %s', async (_, map, message) => {
    await writeIndex(map)
    const error = await openCheckpoint(folder).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(FileError)
    expect((error as Error).message).toContain('openCheckpoint: ')
    expect((error as Error).message).toContain(message)
  })

  it.each<[string, string]>([
    ['{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', 'the key "a" comes twice'],
    [`{"metadata":${'['.repeat(100_000)}`, 'nested deeper'],
    ['{', 'not valid JSON'],
    ['', 'not valid JSON'],
  ])('an index that reads %.40s', async (text, message) => {
    await writeFile(inFolder('model.safetensors.index.json'), text)
    await expect(openCheckpoint(folder)).rejects.toThrow(message)
  })
})

describe('what is none', () => {
  it.each(['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model.pt', 'weights.pth', 'last.ckpt'])(
    '%s is refused, and how to convert it is told',
    async (name) => {
      await writeFile(inFolder(name), 'PK')
      for (const path of [folder, inFolder(name)])
        await expect(openCheckpoint(path)).rejects.toThrow(/pickled by PyTorch.*save_pretrained.*model\.safetensors/)
    },
  )

  it('an empty folder, many files, nothing', async () => {
    await expect(openCheckpoint(folder)).rejects.toThrow('expected model.safetensors or model.safetensors.index.json')
    await expect(openCheckpoint(inFolder('none'))).rejects.toThrow(`openCheckpoint: ${inFolder('none')}: no such file`)
    await write('one.safetensors', { x: [1] })
    expect(await values(folder)).toEqual({ x: [1] })
    await write('two.safetensors', { x: [1] })
    await expect(openCheckpoint(folder)).rejects.toThrow('2 other files of weights; name one of them')
  })
})

describe('damage', () => {
  it('of a header gives a FileError, or tensors that cover the data exactly', () => {
    const dtypes = ['F32', 'F16', 'I8', 'I64']
    const below = numbers(1)
    let passed = 0
    for (let round = 0; round < 20_000; round++) {
      let end = 0
      const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
      for (let i = 0; i < 3; i++) {
        const shape = [below(4), 1 + below(3)]
        const bytes = shape[0]! * shape[1]! * [4, 2, 1, 8][i]!
        header[`t${i}`] = { dtype: dtypes[i], shape, data_offsets: [end, (end += bytes)] }
      }
      const text = Buffer.from(JSON.stringify(header))
      try {
        const { entries } = parseHeader(mutate(text, text.length, below), end, 'fuzz')
        passed++
        expect(entries.reduce((sum, entry) => sum + (entry.end - entry.begin), 0)).toBe(end)
      } catch (error) {
        expect(error, `round ${round}`).toBeInstanceOf(FileError)
      }
    }
    // Damage to names and metadata goes unnoticed; the rest must not.
    expect(passed).toBeGreaterThan(100)
    expect(passed).toBeLessThan(10_000)
  })

  it('of a file never gives anything but a FileError or its tensors', async () => {
    await write('whole.safetensors', { a: [1, 2], b: [3] }, { format: 'pt' })
    const bytes = await readFile(inFolder('whole.safetensors'))
    const below = numbers(2)
    const before = await heldBytes()
    for (let round = 0; round < 500; round++) {
      await writeFile(inFolder('x.safetensors'), mutate(bytes, 16, below))
      const found = await values(inFolder('x.safetensors')).catch((error: unknown) => error)
      if (found instanceof Error) expect(found, `round ${round}: ${found.message}`).toBeInstanceOf(FileError)
    }
    expect(await heldBytes()).toBe(before)
  })
})
