import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.ts'
import { ArgumentError } from '../../lib/errors.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterEach(() => rm(folder, { recursive: true }))

const abc = (offset = 0): [string, Tensor][] => ['a', 'b', 'c'].map((name, i) => [name, tensor([offset + i, -i, 0.5])])
async function values(): Promise<Record<string, unknown>> {
  await using checkpoint = await openCheckpoint(folder)
  const found: Record<string, unknown> = {}
  for (const name of checkpoint.tensors.keys()) {
    using read = await checkpoint.read(name)
    found[name] = read.toArray()
  }
  return found
}
const numbers = (offset = 0): Record<string, number[]> => ({
  a: [offset, -0, 0.5],
  b: [offset + 1, -1, 0.5],
  c: [offset + 2, -2, 0.5],
})
const files = async (): Promise<string[]> => (await readdir(folder)).sort()

describe('writeCheckpoint', () => {
  it('writes one file while that is enough', async () => {
    await writeCheckpoint(join(folder, 'new'), abc(), { format: 'pt' }, { maxShardSize: 36 })
    expect(await readdir(join(folder, 'new'))).toEqual(['model.safetensors'])
    await using checkpoint = await openCheckpoint(join(folder, 'new'))
    expect([[...checkpoint.tensors.keys()], checkpoint.metadata]).toEqual([['a', 'b', 'c'], { format: 'pt' }])
  })

  it('splits where a file would get too large, and tells where everything is', async () => {
    await writeCheckpoint(folder, abc(), { format: 'pt' }, { maxShardSize: 35 })
    const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    expect(await files()).toEqual([...names, 'model.safetensors.index.json'])
    expect(JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8'))).toEqual({
      metadata: { total_size: 36 },
      weight_map: { a: names[0], b: names[0], c: names[1] },
    })
    expect(await values()).toEqual(numbers())
  })

  it('gives a tensor that is too large a file of its own', async () => {
    await writeCheckpoint(folder, abc(), {}, { maxShardSize: 1 })
    expect(await files()).toHaveLength(4)
    expect(await values()).toEqual(numbers())
  })

  it('replaces whatever was there, and leaves nothing of it', async () => {
    await writeFile(join(folder, 'config.json'), '{}')
    for (const [offset, maxShardSize, count] of [
      [1, 100, 2],
      [2, 12, 5],
      [3, 12, 5],
      [4, 24, 4],
      [5, 100, 2],
    ] as const) {
      await writeCheckpoint(folder, abc(offset), {}, { maxShardSize })
      expect(await values()).toEqual(numbers(offset))
      expect(await files()).toHaveLength(count)
    }
  })

  it.each([12, 100])('leaves what was there when it is aborted, with files of %d bytes', async (before) => {
    await writeCheckpoint(folder, abc(1), {}, { maxShardSize: before })
    const found = await files()
    for (let looks = 1; looks < 12; looks++) {
      const controller = new AbortController()
      const { signal } = controller
      let left = looks
      signal.throwIfAborted = () => {
        if (--left === 0) controller.abort(new Error('enough'))
        AbortSignal.prototype.throwIfAborted.call(signal)
      }
      await expect(writeCheckpoint(folder, abc(2), {}, { maxShardSize: 12, signal })).rejects.toThrow('enough')
      expect(await files()).toEqual(found)
      expect(await values()).toEqual(numbers(1))
    }
  })

  it('never removes anything outside of the folder', async () => {
    await writeFile(join(folder, 'kept.safetensors'), '')
    const inner = join(folder, 'inner')
    await writeCheckpoint(inner, abc(), {}, { maxShardSize: 12 })
    await writeFile(
      join(inner, 'model.safetensors.index.json'),
      JSON.stringify({ weight_map: { a: '../kept.safetensors', b: 1 } }),
    )
    await writeCheckpoint(inner, abc())
    expect(await files()).toContain('kept.safetensors')
  })

  it('counts what is written in a narrower type', async () => {
    await writeCheckpoint(folder, abc(), {}, { maxShardSize: 12, dtype: 'bf16' })
    expect(await files()).toHaveLength(3)
    await using checkpoint = await openCheckpoint(folder)
    expect(checkpoint.metadata['total_size']).toBe(18)
    expect(checkpoint.tensors.get('a')).toMatchObject({ fileType: 'BF16', byteLength: 6 })
    expect(await values()).toEqual(numbers())
  })

  it('refuses a name twice, in whatever file', async () => {
    const twice = [...abc(), ...abc()]
    await expect(writeCheckpoint(folder, twice, {}, { maxShardSize: 12 })).rejects.toThrow(ArgumentError)
    expect(await files()).toEqual([])
  })
})
