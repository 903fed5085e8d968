import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { Random } from '../tensor/random.ts'

/** `windows` windows one after another, `context` tokens each: targets[i] is the token that follows tokens[i]. */
export interface WindowBatch {
  tokens: Int32Array
  targets: Int32Array
  windows: number
}

export interface WindowOptions {
  /** Tokens per window. */
  context: number
  /** Windows per batch. */
  batchSize: number
}

/**
 * Batches of windows that start anywhere, each start in [0, n − context − 1] equally likely, with replacement, as
 * nanoGPT draws them. The same seed gives the same windows. Throws ArgumentError for a text shorter than context + 1.
 */
export class RandomWindows {
  readonly #tokens: Int32Array
  readonly #context: number
  readonly #batchSize: number
  readonly #random: Random

  constructor(tokens: Int32Array, options: WindowOptions & { seed: number }) {
    checkOptions('RandomWindows', options, ['context', 'batchSize', 'seed'])
    checkWindows('RandomWindows', tokens, options)
    this.#tokens = tokens
    this.#context = options.context
    this.#batchSize = options.batchSize
    this.#random = new Random(checkInteger('RandomWindows', 'seed', options.seed, 0))
  }

  next(): WindowBatch {
    const starts = Array.from({ length: this.#batchSize }, () =>
      this.#random.integer(this.#tokens.length - this.#context),
    )
    return gather(this.#tokens, starts, this.#context)
  }

  /** Where the random numbers are; put back, the same windows follow. */
  get state(): number[] {
    return this.#random.state
  }
  set state(state: readonly number[]) {
    this.#random.state = state
  }
}

/**
 * All of `tokens` in order, once: window i holds tokens [i · context, (i + 1) · context). What does not fill a window is
 * left out, and the last batch may hold fewer windows than batchSize. Throws ArgumentError for a text shorter than
 * context + 1.
 */
export function sequentialWindows(tokens: Int32Array, options: WindowOptions): Generator<WindowBatch, void> {
  checkOptions('sequentialWindows', options, ['context', 'batchSize'])
  checkWindows('sequentialWindows', tokens, options)
  return batches(tokens, options)
}

function* batches(tokens: Int32Array, { context, batchSize }: WindowOptions): Generator<WindowBatch, void> {
  const count = Math.floor((tokens.length - 1) / context)
  for (let first = 0; first < count; first += batchSize) {
    const windows = Math.min(batchSize, count - first)
    yield gather(
      tokens,
      Array.from({ length: windows }, (_, i) => (first + i) * context),
      context,
    )
  }
}

function gather(from: Int32Array, starts: readonly number[], context: number): WindowBatch {
  const tokens = new Int32Array(starts.length * context)
  const targets = new Int32Array(starts.length * context)
  for (const [window, start] of starts.entries()) {
    tokens.set(from.subarray(start, start + context), window * context)
    targets.set(from.subarray(start + 1, start + 1 + context), window * context)
  }
  return { tokens, targets, windows: starts.length }
}

/** Of one batch; more would not fit into any machine's memory once a model made something of it. */
const maxBatchTokens = 2 ** 24

function checkWindows(operation: string, tokens: Int32Array, { context, batchSize }: WindowOptions): void {
  if (!(tokens instanceof Int32Array))
    throw new ArgumentError(`${operation}: expected an Int32Array, got ${describe(tokens)}`)
  checkInteger(operation, 'context', context, 1)
  checkInteger(operation, 'batchSize', batchSize, 1, Math.max(1, Math.floor(maxBatchTokens / context)))
  if (tokens.length < context + 1)
    throw new ArgumentError(
      `${operation}: a window of context ${context} needs ${context + 1} tokens, the text has ${tokens.length}; ` +
        `give more text or a smaller context`,
    )
}
