import { parentPort, workerData } from 'node:worker_threads'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { liveBytes } from '../../lib/tensor/tensor.ts'

/** Opens a model in a thread of its own, tells of it, and waits. */
const { path, dtype } = workerData as { path: string; dtype: 'int8' | 'f32' }
const before = liveBytes()
const model = await loadDecoder(path, { dtype })
parentPort!.postMessage({ grown: liveBytes() - before, formats: String(model.tokenEmbedding.weight.packed) }, [])
parentPort!.once('message', () => {
  model.dispose()
  parentPort!.postMessage('gone', [])
})
