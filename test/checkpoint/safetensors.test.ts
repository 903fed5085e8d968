import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { ArgumentError, DisposedError, FileError } from '../../lib/errors.ts'
import { writeTextAtomically } from '../../lib/files/atomic-file.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { heldBytes } from '../held-bytes.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  path = join(folder, 'model.safetensors')
})
afterEach(() => rm(folder, { recursive: true }))

/** A file of this header text, with `data` after it. */
function fileOf(header: string | Uint8Array, data: Uint8Array = new Uint8Array(0), length?: bigint): Buffer {
  const text = Buffer.from(header as string)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(length ?? BigInt(text.length))
  return Buffer.concat([size, text, data])
}
const entry = (dtype: unknown, shape: unknown, data_offsets: unknown): object => ({ dtype, shape, data_offsets })
const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

async function readOne(dtype: string, data: ArrayBufferView): Promise<number[]> {
  const bytes = bytesOf(data)
  const length = bytes.length / ({ F16: 2, BF16: 2, I64: 8, I8: 1, U8: 1, BOOL: 1, F8_E4M3: 1 }[dtype] ?? 4)
  await writeFile(path, fileOf(JSON.stringify({ x: entry(dtype, [length], [0, bytes.length]) }), bytes))
  const { tensors } = await readSafetensors(path)
  using x = tensors.get('x')!
  return [...x.data()]
}

describe('round trip', () => {
  it('keeps names, order, shapes, dtypes, every bit and the metadata', async () => {
    using weight = tensor(Float32Array.of(1.5, -0, NaN, Infinity, 1e-45, 3), { shape: [2, 3] })
    using scalar = tensor(Int32Array.of(-7), { shape: [] })
    using empty = tensor.zeros([0, 4])
    using double = tensor(Float64Array.of(Math.PI, -1e300))
    const written = [
      ['z.weight', weight],
      ['7', scalar],
      ['größe', empty],
      ['__proto__', double],
    ] as const
    await writeSafetensors(path, written, { format: 'pt', note: '“quoted”\n' })

    const { tensors, metadata } = await readSafetensors(path)
    expect(metadata).toEqual({ format: 'pt', note: '“quoted”\n' })
    expect([...tensors.keys()]).toEqual(['z.weight', '7', 'größe', '__proto__'])
    for (const [name, original] of written) {
      using read = tensors.get(name)!
      expect(read.dtype).toBe(original.dtype)
      expect(read.shape).toEqual(original.shape)
      expect(bytesOf(read.data())).toEqual(bytesOf(original.data()))
    }
  })

  it('takes tensors of several chunks, starting off every boundary', async () => {
    const count = 2 ** 20 * 2 + 3
    using first = tensor(Int32Array.of(1))
    using large = tensor(Float32Array.from({ length: count }, (_, i) => i % 1009))
    await writeSafetensors(
      path,
      new Map<string, typeof first | typeof large>([
        ['first', first],
        ['large', large],
      ]),
    )
    const { tensors } = await readSafetensors(path)
    expect(Buffer.compare(bytesOf(tensors.get('large')!.data()), bytesOf(large.data()))).toBe(0)
    for (const read of tensors.values()) read.dispose()
  })

  it('pads the header to 8 bytes with spaces', async () => {
    using x = tensor([1])
    await writeSafetensors(path, [['x', x]])
    const file = await readFile(path)
    const length = Number(file.readBigUInt64LE())
    expect(length % 8).toBe(0)
    expect(file.length).toBe(8 + length + 4)
    expect(file.toString('utf8', 8, 8 + length).trimEnd()).toBe(
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    )
  })

  it('reads a file without tensors, and metadata only', async () => {
    await writeFile(path, fileOf('{"__metadata__":{"a":"b"}}   '))
    expect(await readSafetensors(path)).toEqual({ tensors: new Map(), metadata: { a: 'b' } })
  })

  it('gives tensors in the order of the data', async () => {
    const header = { b: entry('F32', [1], [4, 8]), a: entry('F32', [1], [0, 4]) }
    await writeFile(path, fileOf(JSON.stringify(header), bytesOf(Float32Array.of(1, 2))))
    const { tensors } = await readSafetensors(path)
    expect([...tensors].map(([name, x]) => [name, x.item()])).toEqual([
      ['a', 1],
      ['b', 2],
    ])
    for (const read of tensors.values()) read.dispose()
  })
})

describe('element types', () => {
  it('widens F16 exactly', async () => {
    const halves = Uint16Array.of(
      0x0000,
      0x8000,
      0x3c00,
      0xc000,
      0x7bff,
      0x0400,
      0x03ff,
      0x0001,
      0x8001,
      0x7c00,
      0xfc00,
      0x3555,
    )
    const expected = [
      0,
      -0,
      1,
      -2,
      65504,
      2 ** -14,
      1023 * 2 ** -24,
      2 ** -24,
      -(2 ** -24),
      Infinity,
      -Infinity,
      0.333251953125,
    ]
    expect(await readOne('F16', halves)).toEqual(expected)
    expect(await readOne('F16', Uint16Array.of(0x7e00))).toEqual([NaN])
  })

  it('widens every F16 to the value of its formula', async () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i)
    const values = await readOne('F16', all)
    const wrong = values.filter((value, i) => {
      const [exponent, mantissa] = [(i >> 10) & 31, i & 1023]
      const magnitude =
        exponent === 31
          ? mantissa
            ? NaN
            : Infinity
          : exponent
            ? (1 + mantissa / 1024) * 2 ** (exponent - 15)
            : mantissa * 2 ** -24
      return !Object.is(value, i & 0x8000 ? -magnitude : magnitude)
    })
    expect(wrong).toEqual([])
  })

  it('widens BF16 exactly', async () => {
    const words = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f80, 0x8000, 0x4049)
    expect(await readOne('BF16', words)).toEqual([1, -2, 2 ** -133, Infinity, -0, 3.140625])
  })

  it('widens and narrows across chunks', async () => {
    const length = 2 ** 21 + 5
    const values = await readOne('BF16', new Uint16Array(length).fill(0x3f80))
    expect(values.length).toBe(length)
    expect(values.every((v) => v === 1)).toBe(true)
  })

  it('narrows I64 when every value fits', async () => {
    const values = [0n, -1n, 2n ** 31n - 1n, -(2n ** 31n)]
    expect(await readOne('I64', BigInt64Array.from(values))).toEqual(values.map(Number))
  })

  it.each([2n ** 31n, -(2n ** 31n) - 1n, 2n ** 32n, 2n ** 63n - 1n])('refuses the I64 value %s', async (value) => {
    await expect(readOne('I64', BigInt64Array.of(1n, value))).rejects.toThrow(`tensor "x": element 1 is ${value}`)
  })

  it('reads I8, U8 and BOOL as i32', async () => {
    expect(await readOne('I8', Int8Array.of(0, 1, -1, 127, -128))).toEqual([0, 1, -1, 127, -128])
    expect(await readOne('U8', Uint8Array.of(0, 1, 128, 255))).toEqual([0, 1, 128, 255])
    expect(await readOne('BOOL', Uint8Array.of(1, 0))).toEqual([1, 0])
  })

  it('refuses to read F8_E4M3 as numbers', async () => {
    await expect(readOne('F8_E4M3', new Uint8Array(4))).rejects.toThrow(
      'tensor "x": F8_E4M3 can not be read as numbers; supported: F32, F64, I32, F16, BF16, I64, I8, U8, BOOL',
    )
  })

  it.each(['f32', 'F4', 'toString'])('refuses %s by name', async (dtype) => {
    await writeFile(path, fileOf(JSON.stringify({ x: entry(dtype, [4], [0, 4]) }), new Uint8Array(4)))
    await expect(readSafetensors(path)).rejects.toThrow(
      `dtype "${dtype}" is not supported; supported: F32, F64, I32, F16, BF16, I64, I8, U8, BOOL`,
    )
  })
})

describe('lies', () => {
  const x = (fields: object): string => JSON.stringify({ x: { ...entry('F32', [2], [0, 8]), ...fields } })
  const pair = (a: [number, number], b: [number, number]): string =>
    JSON.stringify({ a: entry('F32', [(a[1] - a[0]) / 4], a), b: entry('F32', [(b[1] - b[0]) / 4], b) })
  const field = (name: string, json: string): string =>
    `{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"${name}":${json}}}`
  const replaced = (name: string, json: string): string => x({ [name]: 'HERE' }).replace('"HERE"', json)

  it.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'too short'],
    ['7 bytes', Buffer.alloc(7), 'too short'],
    ['a header longer than the file', fileOf('{}', undefined, 1000n), 'claims 1000 bytes, but the file holds only 2'],
    ['a header of over 100 MB', fileOf('{}', undefined, 100_000_001n), 'the format allows 100000000'],
    ['a header of 2^64 − 1 bytes', fileOf('{}', undefined, 2n ** 64n - 1n), 'the format allows'],
    ['a header of 0 bytes', fileOf(''), 'start with "{"'],
    ['no JSON', fileOf('{"x":'), 'not valid JSON'],
    ['two JSON values', fileOf('{}{}'), 'not valid JSON'],
    ['an array', fileOf('[]'), 'start with "{"'],
    ['invalid UTF-8', fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), 'not valid UTF-8'],
    ['a byte order mark', fileOf('\uFEFF{}'), 'start with "{"'],
    ['a tensor twice', fileOf('{"x":1,"\\u0078":2}'), 'the key "x" comes twice'],
    ['a field twice', fileOf(field('shape', '[2]'), new Uint8Array(8)), 'the key "shape" comes twice'],
    ['deep nesting', fileOf('{"x":'.repeat(100_000)), 'nested deeper than 3 levels'],
    ['deep arrays', fileOf('{"x":' + '['.repeat(100_000)), 'nested deeper than 3 levels'],
    ['a tensor that is no object', fileOf('{"x":[]}'), 'tensor "x": expected an object'],
    ['no dtype', fileOf(x({ dtype: undefined }), new Uint8Array(8)), 'dtype is missing'],
    ['no shape', fileOf(x({ shape: undefined }), new Uint8Array(8)), 'shape is missing'],
    ['no data_offsets', fileOf(x({ data_offsets: undefined }), new Uint8Array(8)), 'data_offsets is missing'],
    ['a dtype that is no string', fileOf(x({ dtype: 32 }), new Uint8Array(8)), 'dtype should be a string'],
    ['a shape that is no array', fileOf(x({ shape: 2 }), new Uint8Array(8)), 'shape should be whole numbers'],
    ['a negative dimension', fileOf(x({ shape: [-2, -1] }), new Uint8Array(8)), 'shape should be whole numbers'],
    ['a fractional dimension', fileOf(x({ shape: [0.5, 4] }), new Uint8Array(8)), 'shape should be whole numbers'],
    ['a huge dimension', fileOf(replaced('shape', '[1e300]'), new Uint8Array(8)), 'shape should be whole numbers'],
    ['dimensions whose product is huge', fileOf(x({ shape: [2 ** 50, 2 ** 50, 2 ** 50] }), new Uint8Array(8)), 'takes'],
    [
      'a product that wraps round to the right size',
      fileOf(x({ shape: [2 ** 32, 2 ** 32, 2] }), new Uint8Array(8)),
      'takes',
    ],
    ['a rank of 7', fileOf(x({ shape: [2, 1, 1, 1, 1, 1, 1] }), new Uint8Array(8)), 'rank of at most 6'],
    ['three offsets', fileOf(x({ data_offsets: [0, 4, 8] }), new Uint8Array(8)), '[begin, end]'],
    ['offsets the wrong way round', fileOf(x({ data_offsets: [8, 0] }), new Uint8Array(8)), '[begin, end]'],
    [
      'a negative offset',
      fileOf(x({ data_offsets: [-8, 0] }), new Uint8Array(8)),
      'data_offsets should be whole numbers',
    ],
    [
      'a fractional offset',
      fileOf(x({ data_offsets: [0.5, 8.5] }), new Uint8Array(8)),
      'data_offsets should be whole numbers',
    ],
    [
      'an offset above 2^53',
      fileOf(replaced('data_offsets', '[9007199254740993, 9007199254741001]')),
      'data_offsets should be whole',
    ],
    [
      'a size that is not shape × dtype',
      fileOf(x({ shape: [3] }), new Uint8Array(8)),
      'takes 12 bytes, but data_offsets span 8',
    ],
    ['data that is cut off', fileOf(x({}), new Uint8Array(7)), 'ends at byte 8 of the data, but the file holds 7'],
    ['data after the end', fileOf(x({}), new Uint8Array(9)), '1 bytes at the end belong to no tensor'],
    ['an overlap', fileOf(pair([0, 8], [4, 12]), new Uint8Array(12)), 'tensor "b": starts at byte 4'],
    ['the same bytes twice', fileOf(pair([0, 8], [0, 8]), new Uint8Array(8)), 'starts at byte 0'],
    ['a gap', fileOf(pair([0, 4], [8, 12]), new Uint8Array(12)), 'tensor "b": starts at byte 8'],
    ['a gap at the start', fileOf(pair([4, 8], [8, 12]), new Uint8Array(12)), 'tensor "a": starts at byte 4'],
    ['metadata that is no object', fileOf('{"__metadata__":[]}'), '__metadata__ should be an object'],
    ['metadata that is no string', fileOf('{"__metadata__":{"a":1}}'), '__metadata__: "a" should be a string'],
  ])('%s', async (_, bytes, message) => {
    await writeFile(path, bytes)
    const before = await heldBytes()
    const error = await readSafetensors(path).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(FileError)
    expect((error as Error).message).toContain(`readSafetensors: ${path}: `)
    expect((error as Error).message).toContain(message)
    expect(await heldBytes()).toBe(before)
  })

  it('truncation at every byte', async () => {
    using a = tensor([1, 2])
    using b = tensor([[3], [4]])
    await writeSafetensors(path, [
      ['a', a],
      ['b', b],
    ])
    const bytes = await readFile(path)
    for (let length = 0; length < bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length))
      await expect(readSafetensors(path), `${length} bytes`).rejects.toThrow(FileError)
    }
  })

  it('a damaged byte never gives anything but a FileError or tensors of the file', async () => {
    using a = tensor([1, 2])
    await writeSafetensors(path, [['a', a]])
    const bytes = await readFile(path)
    for (let i = 0; i < bytes.length - 8; i++) {
      for (const flip of [0x01, 0x10, 0x80]) {
        const damaged = Buffer.from(bytes)
        damaged[i]! ^= flip
        await writeFile(path, damaged)
        const result = await readSafetensors(path).catch((e: unknown) => e)
        if (result instanceof Error) expect(result, `byte ${i}`).toBeInstanceOf(FileError)
        else for (const read of (result as Awaited<ReturnType<typeof readSafetensors>>).tensors.values()) read.dispose()
      }
    }
  })

  it('a missing file, a folder, a device', async () => {
    await expect(readSafetensors(path)).rejects.toThrow(
      new FileError(`readSafetensors: ${path}: no such file or folder`),
    )
    await expect(readSafetensors(folder)).rejects.toThrow('is a folder')
    if (process.platform !== 'win32')
      await expect(readSafetensors('/dev/zero')).rejects.toThrow('expected a regular file')
  })

  it('gives the memory back when a later tensor fails', async () => {
    const header = { a: entry('F32', [2], [0, 8]), b: entry('I64', [1], [8, 16]) }
    await writeFile(path, fileOf(JSON.stringify(header), bytesOf(BigInt64Array.of(0n, 2n ** 40n))))
    const before = await heldBytes()
    await expect(readSafetensors(path)).rejects.toThrow(FileError)
    expect(await heldBytes()).toBe(before)
  })
})

describe('writing', () => {
  /** A signal that aborts when it is looked at for the nth time. */
  function abortAtLook(n: number): AbortSignal {
    const controller = new AbortController()
    const { signal } = controller
    signal.throwIfAborted = () => {
      if (--n === 0) controller.abort(new Error('enough'))
      AbortSignal.prototype.throwIfAborted.call(signal)
    }
    return signal
  }

  it('leaves the old file and no temporary one when it is aborted', async () => {
    await writeFile(path, 'old')
    using x = tensor.zeros([3 * 2 ** 20])
    await expect(writeSafetensors(path, [['x', x]], {}, { signal: abortAtLook(4) })).rejects.toThrow('enough')
    expect(await readdir(folder)).toEqual(['model.safetensors'])
    expect(await readFile(path, 'utf8')).toBe('old')
  })

  it('reading stops when it is aborted, and gives the memory back', async () => {
    using x = tensor.zeros([3 * 2 ** 20])
    await writeSafetensors(path, [['x', x]])
    const before = await heldBytes()
    await expect(readSafetensors(path, { signal: abortAtLook(3) })).rejects.toThrow('enough')
    await expect(readSafetensors(path, { signal: AbortSignal.abort(new Error('early')) })).rejects.toThrow('early')
    expect(await heldBytes()).toBe(before)
  })

  it('replaces a file that exists', async () => {
    await writeFile(path, 'old')
    using x = tensor([5])
    await writeSafetensors(path, [['x', x]])
    const { tensors } = await readSafetensors(path)
    using read = tensors.get('x')!
    expect(read.item()).toBe(5)
    expect(await readdir(folder)).toEqual(['model.safetensors'])
  })

  it('finishes when a tensor is disposed meanwhile', async () => {
    const x = tensor.ones([2 ** 21])
    const written = writeSafetensors(path, [['x', x]])
    x.dispose()
    await written
    const { tensors } = await readSafetensors(path)
    using read = tensors.get('x')!
    expect(read.data().every((value) => value === 1)).toBe(true)
  })

  it('names the folder that is missing', async () => {
    using x = tensor([1])
    const missing = join(folder, 'missing', 'x.safetensors')
    await expect(writeSafetensors(missing, [['x', x]])).rejects.toThrow(
      `writeSafetensors: ${missing}: no such file or folder`,
    )
  })

  it('refuses wrong arguments and writes nothing', async () => {
    using x = tensor([1])
    const disposed = tensor([1])
    disposed.dispose()
    const before = await heldBytes()
    await expect(
      writeSafetensors(path, [
        ['x', x],
        ['x', x],
      ]),
    ).rejects.toThrow(ArgumentError)
    await expect(writeSafetensors(path, [['__metadata__', x]])).rejects.toThrow(ArgumentError)
    await expect(writeSafetensors(path, [['x', [1] as never]])).rejects.toThrow(ArgumentError)
    await expect(writeSafetensors(path, [['x', x]], { a: 1 as never })).rejects.toThrow(
      'metadata "a" should be a string',
    )
    await expect(
      writeSafetensors(path, [
        ['x', x],
        ['y', disposed],
      ]),
    ).rejects.toThrow(DisposedError)
    await expect(writeSafetensors('', [['x', x]])).rejects.toThrow(ArgumentError)
    await expect(writeSafetensors(path, [['x', x]], {}, { sgnal: 1 } as never)).rejects.toThrow('did you mean signal?')
    expect(await readdir(folder)).toEqual([])
    expect(await heldBytes()).toBe(before)
  })
})

it('a folder in the way is left alone, without a temporary file', async () => {
  await expect(writeTextAtomically(folder, 'text')).rejects.toThrow(FileError)
  expect(await readdir(folder)).toEqual([])
})
