import { liveBytes } from '../lib/tensor/tensor.ts'

/** Bytes of native memory, once what was disposed has been handed back: that takes a turn of the event loop. */
export async function heldBytes(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  return liveBytes()
}
