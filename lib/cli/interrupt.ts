/** What a script can tell from `$?`. 130 is what shells give for a Ctrl-C. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const

/** The reason of a signal that Ctrl-C or SIGTERM aborted. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

const interrupts = ['SIGINT', 'SIGTERM'] as const

/**
 * Runs `work` with a signal that the first Ctrl-C (or SIGTERM) aborts, for it to stop in good order, e.g. to save first; the second
 * one ends the process at once. Rejects with Interrupted whenever there was one, even if `work` ended well.
 */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const onInterrupt = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted)
    controller.abort(new Interrupted('interrupted'))
  }
  for (const name of interrupts) process.on(name, onInterrupt)
  try {
    const result = await work(controller.signal)
    controller.signal.throwIfAborted()
    return result
  } finally {
    for (const name of interrupts) process.off(name, onInterrupt)
  }
}
