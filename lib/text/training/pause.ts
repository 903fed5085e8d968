import { setImmediate } from 'node:timers/promises'

/** Longest time in ms for which the event loop is kept from other work. */
const slice = 4

/** Gives the event loop its turn now and then during long work: `if (pause.isDue()) await pause.take()`. */
export class Pause {
  readonly #signal: AbortSignal | undefined
  #since = performance.now()

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    signal?.throwIfAborted()
  }

  isDue(): boolean {
    return performance.now() - this.#since > slice
  }

  /** Throws the signal's reason if it was aborted meanwhile. */
  async take(): Promise<void> {
    await setImmediate()
    this.#signal?.throwIfAborted()
    this.#since = performance.now()
  }
}
