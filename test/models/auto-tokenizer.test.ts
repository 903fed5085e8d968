import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FileError } from '../../lib/errors.ts'
import { AutoTokenizer } from '../../lib/models/auto-tokenizer.ts'

/** A GGUF file of version 3 with these keys and no tensors. */
function gguf(metadata: Record<string, string | string[] | number[]>): Buffer {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const u64 = (value: number): Buffer => Buffer.concat([u32(value), u32(0)])
  const string = (text: string): Buffer => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)])
  const float = (value: number): Buffer => Buffer.from(Float32Array.of(value).buffer)
  const value = (of: string | string[] | number[]): Buffer[] => {
    if (typeof of === 'string') return [u32(8), string(of)]
    const isText = typeof of[0] === 'string'
    return [
      u32(9),
      u32(isText ? 8 : 6),
      u64(of.length),
      ...of.map((one) => (typeof one === 'string' ? string(one) : float(one))),
    ]
  }
  const keys = Object.entries(metadata)
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(0),
    u64(keys.length),
    ...keys.flatMap(([key, of]) => [string(key), ...value(of)]),
  ])
}

describe('AutoTokenizer.fromPretrained', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('opens a GGUF file', async () => {
    const path = join(folder, 'model.gguf')
    const pieces = ['▁', 'a', 'b', 'ab', '▁ab']
    await writeFile(
      path,
      gguf({
        'general.architecture': 'llama',
        'tokenizer.ggml.model': 'llama',
        'tokenizer.ggml.tokens': pieces,
        'tokenizer.ggml.scores': [-9, -9, -9, -1, -2],
        'tokenizer.chat_template': '{{ messages[0].content }}',
      }),
    )
    const tokenizer = await AutoTokenizer.fromPretrained(path)
    expect([...tokenizer.encode('ab ab')]).toEqual([4, 4])
    expect([...tokenizer.applyChatTemplate([{ role: 'user', content: 'ba' }])]).toEqual([0, 2, 1])
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    await expect(AutoTokenizer.fromPretrained(path, { signal: controller.signal })).rejects.toThrow('enough')
  })

  it('says what is wrong with a file or a name', async () => {
    const path = join(folder, 'damaged.gguf')
    await writeFile(path, 'GGUF')
    await expect(AutoTokenizer.fromPretrained(path)).rejects.toThrow(FileError)
    await expect(AutoTokenizer.fromPretrained('./surely/not/there')).rejects.toThrow('no such file or folder')
    await expect(AutoTokenizer.fromPretrained(folder)).rejects.toThrow('has no tokenizer; expected tokenizer.json')
  })
})
