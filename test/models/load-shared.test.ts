import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { liveBytes } from '../../lib/tensor/tensor.ts'
import { heldBytes } from '../held-bytes.ts'
import { storiesFolder } from '../reference/stories.ts'

interface Told {
  grown: number
  formats: string
}

const script = new URL('load-worker.ts', import.meta.url).href

async function open(dtype: string): Promise<{ worker: Worker; told: Told }> {
  // Threads don't inherit what runs TypeScript here.
  const code = `import('tsx/esm/api').then((tsx) => (tsx.register(), import(${JSON.stringify(script)})))`
  const worker = new Worker(code, { eval: true, workerData: { path: storiesFolder, dtype } })
  const [told] = (await once(worker, 'message')) as [Told]
  return { worker, told }
}

async function close(worker: Worker): Promise<void> {
  worker.postMessage('end', [])
  await once(worker, 'message')
  await worker.terminate()
}

it('threads of a process share packed weights, until the last of them lets go', async () => {
  const start = await heldBytes()
  const model = await loadDecoder(storiesFolder, { dtype: 'int8' })
  const packed = liveBytes() - start
  expect(packed).toBeGreaterThan(260_000)
  const first = await open('int8')
  // Nothing but what a thread has anyway.
  expect(first.told).toEqual({
    grown: expect.toSatisfy((bytes: number) => bytes < 30_000),
    formats: 'QuantizedMatrix int8 [64, 512]',
  })
  model.dispose()
  const second = await open('int8')
  expect(second.told.grown).toBeLessThan(30_000)
  await close(first.worker)
  await close(second.worker)
  expect(await heldBytes()).toBeLessThanOrEqual(start)
})

it('f32 weights are pages of the file in every thread', async () => {
  using model = await loadDecoder(storiesFolder)
  const { worker, told } = await open('f32')
  expect(told).toEqual({ grown: expect.toSatisfy((bytes: number) => bytes < 30_000), formats: 'undefined' })
  expect(model.tokenEmbedding.weight.data()[0]).not.toBe(0)
  await close(worker)
})
