import { expect, it } from 'vitest'
import { native } from '../../lib/native/load.ts'
import type { NativeStorage } from '../../lib/native/native.ts'

const measure = (name: string, samples: number, memory: NativeStorage[], workingSet: number): Promise<Float64Array> =>
  new Promise((resolve, reject) =>
    native.measure(name, samples, memory, workingSet, (error, figures) => (error ? reject(error) : resolve(figures))),
  )

it.each(native.availableIsas())('%s computes, reads, writes, copies and updates', async (isa) => {
  const before = { isa: native.isa(), threads: native.threads() }
  native.setIsa(isa)
  native.setThreads(2)
  const memory = new native.Storage(64 * 1024)
  try {
    expect(native.computeFormats()).toContain('f32')
    for (const name of [
      ...native.computeFormats(),
      'read',
      'write',
      'copy',
      'update',
      'handshake',
      'exp',
      'gelu gradient',
    ]) {
      const figures = await measure(name, 3, [memory], 32 * 1024)
      expect(figures).toHaveLength(3)
      for (const figure of figures) expect(figure).toBeGreaterThan(0)
    }
  } finally {
    memory.dispose()
    native.setIsa(before.isa)
    native.setThreads(before.threads)
  }
})

it('tells what is wrong', async () => {
  const memory = new native.Storage(64 * 1024)
  const threads = native.threads()
  await expect(measure('f31', 1, [], 0)).rejects.toThrow(/'f31' is nothing that \w+ can measure/)
  await expect(measure('read', 1, [memory], 0)).rejects.toThrow('expected a working set of at least 2048 bytes, got 0')
  await expect(measure('read', 1, [memory], 64 * 1024 + 2048)).rejects.toThrow(`${threads} threads need`)
  await expect(measure('copy', 1, [], 4096)).rejects.toThrow('bytes of memory, got 0')
  expect(() => native.measure('read', 0, [memory], 4096, () => {})).toThrow(RangeError)
  expect(() => native.measure('read', 1, [{}] as never, 4096, () => {})).toThrow(TypeError)
  memory.dispose()
  expect(() => native.measure('read', 1, [memory], 4096, () => {})).toThrow('storage is disposed')
})
