import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Random } from '../../lib/tensor/random.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

const MiB = 2 ** 20

/** Storages give their memory back at some later turn of the event loop. */
async function disposeAll(tensors: Iterable<Tensor>): Promise<void> {
  for (const x of tensors) x.dispose()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
}

/** Below, in and above what buffers share pages from and up to (native/runtime/huge_pages.h), in floats. */
const sizes = [1, 100, 16_383, 16_384, 16_385, 50_001, 262_144, 524_287, 524_288, 700_001, 4_194_304, 4_194_305]

test('memory is zero-filled however often it is used again, and buffers do not overlap', async () => {
  const random = new Random(1)
  const live = new Map<number, Tensor>()
  for (let step = 0; step < 120; step++) {
    if (live.size > 12 || (live.size > 0 && random.uniform() < 0.4)) {
      const id = [...live.keys()][random.integer(live.size)]!
      const x = live.get(id)!
      const data = x.data()
      expect(data[0]).toBe(id)
      expect(data.at(-1)).toBe(id)
      expect(data.every((value) => value === id)).toBe(true)
      live.delete(id)
      await disposeAll([x])
    } else {
      const x = tensor.zeros([sizes[random.integer(sizes.length)]!])
      const data = x.data() as Float32Array
      expect(data.every((value) => value === 0)).toBe(true)
      live.set(step + 1, x)
      data.fill(step + 1)
    }
  }
  await disposeAll(live.values())
})

test.runIf(process.platform === 'linux')('memory of buffers that share pages goes back to the system', async () => {
  const make = (count: number): Tensor[] =>
    Array.from({ length: count }, () => {
      const x = tensor.zeros([200_000])
      x.data().fill(1)
      return x
    })
  await disposeAll(make(20))
  const before = process.memoryUsage.rss()
  const made = make(200)
  const filled = process.memoryUsage.rss() - before
  expect(filled).toBeGreaterThan(120 * MiB)
  // A page that one buffer is left in stays.
  const [kept, rest] = [made.filter((_, i) => i % 50 === 0), made.filter((_, i) => i % 50 !== 0)]
  await disposeAll(rest)
  expect(process.memoryUsage.rss() - before).toBeLessThan(48 * MiB)
  await disposeAll(kept)
  expect(process.memoryUsage.rss() - before).toBeLessThan(24 * MiB)
})
