import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { DTypeError, FileError, HeedfulError } from '../../lib/errors.ts'
import { heldBytes } from '../held-bytes.ts'
import { mutate, numbers } from './mutations.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  path = join(folder, 'model.gguf')
})
afterEach(() => rm(folder, { recursive: true }))

// ---- a writer that can lie ------------------------------------------------------------------------------------------

const u32 = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer)
const u64 = (n: number | bigint): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer)
const str = (text: string | Uint8Array): Uint8Array => Buffer.concat([u64(Buffer.from(text).length), Buffer.from(text)])
const key = (name: string, type: number, ...value: Uint8Array[]): Uint8Array =>
  Buffer.concat([str(name), u32(type), ...value])
const array = (type: number, count: number | bigint, ...values: Uint8Array[]): Uint8Array =>
  Buffer.concat([u32(type), u64(count), ...values])
const info = (name: string, dims: (number | bigint)[], type: number, offset: number | bigint): Uint8Array =>
  Buffer.concat([str(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)])

interface Parts {
  version?: number
  tensorCount?: number | bigint
  keyCount?: number | bigint
  keys?: Uint8Array[]
  infos?: Uint8Array[]
  data?: number
}

function gguf({ version = 3, keys = [], infos = [], data = 0, ...counts }: Parts): Buffer {
  const { tensorCount = infos.length, keyCount = keys.length } = counts
  const head = Buffer.concat([Buffer.from('GGUF'), u32(version), u64(tensorCount), u64(keyCount), ...keys, ...infos])
  return Buffer.concat([head, Buffer.alloc(Math.ceil(head.length / 32) * 32 - head.length + data)])
}

// ---- what the Python package gguf wrote, see test/reference/make-gguf.py --------------------------------------------

const reference = (name: string): Promise<Buffer> => readFile(new URL(`../reference/gguf/${name}`, import.meta.url))

describe('a file of the package gguf', () => {
  it('gives the same numbers of every type, bit for bit', async () => {
    await writeFile(path, await reference('types.gguf'))
    const expected = JSON.parse(String(await reference('types.json'))) as Record<
      string,
      { shape: number[]; f32: string }
    >
    await using checkpoint = await openCheckpoint(folder)
    expect(Object.keys(expected)).toHaveLength(11)
    for (const [name, { shape, f32 }] of Object.entries(expected)) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ shape, fileType: name, dtype: 'f32' })
      using read = await checkpoint.read(name)
      const bytes = Buffer.from(f32, 'base64')
      const wanted = new Float32Array(new Uint8Array(bytes).buffer)
      const wrong = [...read.data()].flatMap((value, i) => (Object.is(value, wanted[i]) ? [] : [[i, value, wanted[i]]]))
      expect(wrong, name).toEqual([])
    }
    expect(checkpoint.tensors.get('Q2_K')).toMatchObject({ shape: [1, 256], fileType: 'Q2_K', dtype: undefined })
    await expect(checkpoint.read('Q2_K')).rejects.toThrow(DTypeError)
    expect(await checkpoint.readBytes('Q2_K')).toHaveLength(84)
  })

  it('and the same metadata', async () => {
    await writeFile(path, await reference('types.gguf'))
    await using checkpoint = await openCheckpoint(path)
    expect(checkpoint.format).toBe('gguf')
    expect(checkpoint.metadata).toEqual({
      'general.architecture': 'test',
      'a.u8': 255,
      'a.i8': -128,
      'a.u16': 65535,
      'a.i16': -32768,
      'a.u32': 2 ** 32 - 1,
      'a.i32': -(2 ** 31),
      'a.u64': 2 ** 53 - 1,
      'a.u64.large': 2n ** 64n - 1n,
      'a.i64': -5,
      'a.f32': 0.5,
      'a.f64': 0.1,
      'a.bool': true,
      'a.string': 'größe 😀\n',
      'a.strings': ['', 'Ġthe', '▁a', '😀'],
      'a.floats': Float32Array.of(0.5, -1.5),
      'a.ints': Int32Array.of(1, -2),
      'a.bools': [true, false],
      'a.nested': [Int32Array.of(1, 2), Int32Array.of(3)],
    })
  })
})

describe('reading', () => {
  it('turns dimensions round, also in version 2 and with another alignment', async () => {
    const keys = [key('general.alignment', 4, u32(8)), key('__proto__', 4, u32(1))]
    const infos = [info('a', [3], 0, 0), info('b', [2, 1, 3], 26, 16)]
    const file = gguf({ version: 2, keys, infos })
    const start = Math.ceil((24 + Buffer.concat([...keys, ...infos]).length) / 8) * 8
    const data = new Uint8Array(16 + 24)
    data.set(new Uint8Array(Float32Array.of(1, 2, 3).buffer))
    data.set(new Uint8Array(Int32Array.of(1, 2, 3, 4, 5, 6).buffer), 16)
    await writeFile(path, Buffer.concat([file.subarray(0, start), data]))
    await using checkpoint = await openCheckpoint(path)
    expect(Object.keys(checkpoint.metadata)).toEqual(['general.alignment', '__proto__'])
    using a = await checkpoint.read('a')
    using b = await checkpoint.read('b')
    expect(a.toArray()).toEqual([1, 2, 3])
    expect(b.toArray()).toEqual([[[1, 2]], [[3, 4]], [[5, 6]]])
  })

  it('takes keys of hundreds of thousands of texts without holding up others, and can be stopped', async () => {
    const count = 300_000
    const texts = Array.from({ length: count }, (_, i) => str(`token ${i}`))
    await writeFile(path, gguf({ keys: [key('tokens', 9, array(8, count, Buffer.concat(texts)))] }))
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await using checkpoint = await openCheckpoint(path)
    clearInterval(timer)
    const tokens = checkpoint.metadata['tokens'] as string[]
    expect([tokens.length, tokens[0], tokens.at(-1)]).toEqual([count, 'token 0', `token ${count - 1}`])
    expect(turns).toBeGreaterThan(2)
    const controller = new AbortController()
    const opened = openCheckpoint(path, { signal: controller.signal })
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(opened).rejects.toThrow('enough')
  })
})

describe('lies', () => {
  const one = [info('a', [8], 0, 0)]
  const two = (offset: number | bigint): Uint8Array[] => [info('a', [8], 0, 0), info('b', [8], 0, offset)]

  it.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'truncated'],
    ['another file', Buffer.from('PK'.padEnd(100)), 'should start with "GGUF"'],
    ['version 1', gguf({ version: 1 }), 'version 2 or 3 of GGUF, got 1'],
    ['version 4', gguf({ version: 4 }), 'version 2 or 3 of GGUF, got 4'],
    ['a big-endian file', gguf({ version: 0x03000000 }), 'is big-endian'],
    ['2^64 − 1 tensors', gguf({ tensorCount: 2n ** 64n - 1n }), '18446744073709551615 tensors at byte 16 take more'],
    ['2^64 − 1 keys', gguf({ keyCount: 2n ** 64n - 1n }), '18446744073709551615 keys'],
    ['one tensor too many', gguf({ tensorCount: 2, infos: one, data: 64 }), 'tensor 1: expected a name'],
    ['one key too many', gguf({ keyCount: 2, keys: [key('a', 4, u32(1))] }), 'key 1'],
    ['a key that is too long', gguf({ keys: [key('a'.repeat(65536), 4, u32(1))] }), 'at most 65535 bytes'],
    ['a key of 2^63 bytes', gguf({ keyCount: 1, keys: [u64(2n ** 63n), u64(0)] }), 'at most 65535 bytes'],
    ['a key twice', gguf({ keys: [key('a', 4, u32(1)), key('a', 4, u32(2))] }), 'the key "a" comes twice'],
    ['a type that is not known', gguf({ keys: [key('a', 13, u32(1))] }), 'key "a": type 13 is not known'],
    ['an array of such', gguf({ keys: [key('a', 9, array(99, 0)), key('b', 4, u32(0))] }), 'type 99 is not known'],
    ['a truth value of 2', gguf({ keys: [key('a', 7, Uint8Array.of(2))] }), 'should be 0 or 1, got 2'],
    ['a text that is cut off', gguf({ keys: [key('a', 8, u64(1000))] }), '1000 bytes of key "a"'],
    ['a text of 2^64 − 1 bytes', gguf({ keys: [key('a', 8, u64(2n ** 64n - 1n))] }), 'bytes of key "a"'],
    ['a text that is no UTF-8', gguf({ keys: [key('a', 8, str(Uint8Array.of(0xff)))] }), 'key "a": not valid UTF-8'],
    [
      'a key that is no UTF-8',
      gguf({ keys: [key('\xff', 4)].map(() => Buffer.concat([str(Uint8Array.of(0xff)), u32(4), u32(4)])) }),
      'not valid UTF-8',
    ],
    [
      'an array of 2^61 numbers',
      gguf({ keys: [key('a', 9, array(12, 2n ** 61n))] }),
      '2305843009213693952 elements of key "a"',
    ],
    ['an array of 2^61 texts', gguf({ keys: [key('a', 9, array(8, 2n ** 61n))] }), 'elements of key "a"'],
    ['an array of 2^61 arrays', gguf({ keys: [key('a', 9, array(9, 2n ** 61n))] }), 'elements of key "a"'],
    [
      'deep arrays',
      gguf({ keys: [key('a', 9, ...Array.from({ length: 9999 }, () => array(9, 1)), array(0, 0))] }),
      'at most 3 deep',
    ],
    [
      'thousands of nested arrays',
      gguf({ keys: [key('a', 9, array(9, 20_000, ...Array.from({ length: 20_000 }, () => array(0, 0))))] }),
      'at most 10000 nested arrays',
    ],
    ['a rank of 5', gguf({ infos: [info('a', [1, 1, 1, 1, 8], 0, 0)], data: 32 }), 'rank of at most 4, got 5'],
    [
      'a rank of 2^32 − 1',
      gguf({ infos: [Buffer.concat([str('a'), u32(2 ** 32 - 1), u64(0), u64(0)])] }),
      'rank of at most 4',
    ],
    ['a name of 65 bytes', gguf({ infos: [info('a'.repeat(65), [8], 0, 0)], data: 32 }), 'at most 64 bytes'],
    [
      'a tensor twice',
      gguf({ infos: [info('a', [8], 0, 0), info('a', [8], 0, 32)], data: 64 }),
      'tensor "a" comes twice',
    ],
    [
      'a type of tensor that is not known',
      gguf({ infos: [info('a', [8], 4, 0)], data: 32 }),
      'tensor "a": type 4 is not known',
    ],
    ['rows that are no whole blocks', gguf({ infos: [info('a', [33], 8, 0)], data: 34 }), 'no whole blocks of Q8_0'],
    ['a dimension of 2^63', gguf({ infos: [info('a', [2n ** 63n], 0, 0)], data: 32 }), 'is too large'],
    [
      'dimensions whose product wraps to 0',
      gguf({ infos: [info('a', [2n ** 32n, 2n ** 32n], 0, 0)], data: 32 }),
      'is too large',
    ],
    ['no dimension but a huge one', gguf({ infos: [info('a', [0, 2n ** 60n], 0, 0)], data: 32 }), 'is too large'],
    ['an alignment of 0', gguf({ keys: [key('general.alignment', 4, u32(0))] }), 'power of two up to 65536, got 0'],
    ['an alignment of 24', gguf({ keys: [key('general.alignment', 4, u32(24))] }), 'power of two up to 65536, got 24'],
    ['an alignment in words', gguf({ keys: [key('general.alignment', 8, str('32'))] }), 'power of two up to 65536'],
    ['an overlap', gguf({ infos: two(0), data: 64 }), 'tensor "b": starts at byte 0 of the data, but should at 32'],
    ['a gap', gguf({ infos: two(64), data: 96 }), 'tensor "b": starts at byte 64'],
    ['an offset of 2^64 − 1', gguf({ infos: two(2n ** 64n - 1n), data: 64 }), 'starts at byte 18446744073709551615'],
    ['data that is cut off', gguf({ infos: two(32), data: 63 }), 'tensor "b": ends at byte'],
    ['data after the end', gguf({ infos: one, data: 64 }), '32 bytes at the end belong to no tensor'],
    ['one part of several', gguf({ keys: [key('split.count', 2, Uint8Array.of(3, 0))] }), 'llama-gguf-split --merge'],
  ])('%s', async (_, bytes, message) => {
    await writeFile(path, bytes)
    const before = await heldBytes()
    const error = await openCheckpoint(path).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(FileError)
    expect((error as Error).message).toContain(`openCheckpoint: ${path}: `)
    expect((error as Error).message).toContain(message)
    expect(await heldBytes()).toBe(before)
  })

  it('a terabyte of zeros behind a count takes neither time nor memory', async () => {
    const handle = await open(path, 'w')
    await handle.write(gguf({ keyCount: 1, keys: [key('a', 9, array(0, 2 ** 39))] }))
    await handle.truncate(2 ** 40).catch(() => {})
    await handle.close()
    const start = performance.now()
    await expect(openCheckpoint(path)).rejects.toThrow('549755813888 elements of key "a"')
    expect(performance.now() - start).toBeLessThan(5000)
  })

  it('truncation at every byte', async () => {
    const bytes = await reference('types.gguf')
    for (let length = 0; length < bytes.length - 32; length += 1 + (length % 5)) {
      await writeFile(path, bytes.subarray(0, length))
      await expect(openCheckpoint(path), `${length} bytes`).rejects.toThrow(FileError)
    }
  })

  it('damage never gives anything but a typed error or tensors of the file', async () => {
    const bytes = await reference('types.gguf')
    const below = numbers(3)
    const before = await heldBytes()
    let opened = 0
    for (let round = 0; round < 1500; round++) {
      await writeFile(path, mutate(bytes, 1500, below))
      try {
        await using checkpoint = await openCheckpoint(path)
        opened++
        for (const [name, { dtype }] of checkpoint.tensors) if (dtype) (await checkpoint.read(name)).dispose()
      } catch (error) {
        expect(error, `round ${round}: ${(error as Error).stack}`).toBeInstanceOf(HeedfulError)
      }
    }
    expect(opened).toBeGreaterThan(100)
    expect(opened).toBeLessThan(1400)
    expect(await heldBytes()).toBe(before)
  })
})
