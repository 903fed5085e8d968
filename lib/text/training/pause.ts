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

/** So many are sorted in a millisecond or two. */
const sortedAtOnce = 2048

/** The texts in order of their UTF-16 units, sorted in pieces that are merged two by two (bottom-up merge sort). */
export async function sorted(texts: readonly string[], pause: Pause): Promise<string[]> {
  let runs: string[][] = []
  for (let from = 0; from < texts.length; from += sortedAtOnce) {
    runs.push(texts.slice(from, from + sortedAtOnce).sort())
    if (pause.isDue()) await pause.take()
  }
  while (runs.length > 1) {
    const longer: string[][] = []
    for (let i = 0; i < runs.length; i += 2) longer.push(await mergeRuns(runs[i]!, runs[i + 1] ?? [], pause))
    runs = longer
  }
  return runs[0] ?? []
}

async function mergeRuns(a: readonly string[], b: readonly string[], pause: Pause): Promise<string[]> {
  const merged: string[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    merged.push(j === b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!)
    if (merged.length % sortedAtOnce === 0 && pause.isDue()) await pause.take()
  }
  return merged
}
