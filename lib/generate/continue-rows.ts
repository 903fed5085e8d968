import type { DecoderModel } from '../models/decoder-model.ts'
import type { CacheFormat } from '../ops/cache.ts'
import { fromData } from '../tensor/tensor.ts'
import type { Decoding, Pieces } from './decoding.ts'
import type { Decodings } from './decodings.ts'
import { compileSampling, samplerInputs, type Sampler } from './sampler.ts'
import { applyRules, hasRules, type TokenRules } from './token-rules.ts'

export interface ContinueOptions {
  maxNewTokens: number
  cacheDtype: CacheFormat
  /** One for each row. */
  samplers: readonly Sampler[]
  rules?: TokenRules
  signal?: AbortSignal | undefined
}

/** The next token of a row. */
export interface RowToken {
  readonly row: number
  readonly token: number
  /** No more of this row. */
  end(): void
}

/** Rows that are decoded together at most, and bytes that their keys and values may take. */
const mostRows = 16
const mostCacheBytes = 2 ** 30

/** A row while it is written. */
interface Open {
  readonly row: number
  readonly sequence: number[]
  readonly begin: number
  pending: number[]
}

/**
 * Tokens that continue rows, each as soon as it is known. Several rows are decoded together, a run for each step; where
 * one ends the next begins, and each is continued as it would be alone. Rows may grow beyond the model's context: when
 * the cache is full, the newer half of the context is read again and the rest forgotten.
 */
export async function* continueRows(
  model: DecoderModel,
  decodings: Decodings,
  rows: readonly ArrayLike<number>[],
  { maxNewTokens, cacheDtype, samplers, rules, signal }: ContinueOptions,
): AsyncGenerator<RowToken, void, undefined> {
  if (maxNewTokens === 0 || rows.length === 0) return
  const longest = rows.reduce((most, { length }) => Math.max(most, length), 0)
  const capacity = Math.min(model.config.context, longest + maxNewTokens)
  const wanted = { sequences: rowsTogether(model, rows.length, capacity), capacity, cacheDtype }
  const run = signal ? { signal } : {}
  const decoding = decodings.take(wanted)
  using drawing = rules && hasRules(rules) ? compileSampling() : undefined
  const slots: (Open | undefined)[] = Array.from({ length: wanted.sequences })
  let begun = 0
  try {
    for (;;) {
      for (const [s, slot] of slots.entries()) {
        if (slot || begun === rows.length) continue
        const sequence = Array.from(rows[begun]!)
        slots[s] = { row: begun++, sequence, begin: sequence.length, pending: sequence }
        decoding.reset(s)
      }
      if (!slots.some(Boolean)) return
      signal?.throwIfAborted()
      const pieces = slots.map((slot, s) => slot && fitting(model, decoding, slot, s))
      const own = slots.map((slot) => samplers[slot?.row ?? 0]!)
      const next = drawing ? await drawn(pieces, own) : await decoding.sample(pieces, own, run)
      for (const [s, slot] of slots.entries()) {
        if (!slot) continue
        const token = next[s]!
        slot.sequence.push(token)
        slot.pending = [token]
        let isOver = slot.sequence.length === slot.begin + maxNewTokens
        yield { row: slot.row, token, end: () => (isOver = true) }
        if (isOver) slots[s] = undefined
      }
    }
  } finally {
    decodings.give(decoding, wanted)
  }

  /** By the rules: logits come to the host between the step and the draw. */
  async function drawn(pieces: Pieces, own: readonly Sampler[]): Promise<Int32Array> {
    const scores = await decoding.append(pieces, run)
    const { vocabSize } = model.config
    const all = new Float32Array(slots.length * vocabSize)
    for (const [s, slot] of slots.entries()) {
      if (!slot) continue
      applyRules(scores[s]!, slot.sequence, slot.begin, rules!)
      all.set(scores[s]!, s * vocabSize)
    }
    using logits = fromData(all, { shape: [slots.length, vocabSize] })
    using tokens = await drawing!.run({ logits, ...samplerInputs(own, (s) => slots[s] !== undefined) }, run)
    for (const [s, slot] of slots.entries()) if (slot) own[s]!.step++
    return Int32Array.from(tokens.data())
  }
}

/** What a sequence reads next: all that it is to remember, where its cache can not go on. */
function fitting(model: DecoderModel, decoding: Decoding, { sequence, pending }: Open, s: number): number[] {
  const held = decoding.lengths[s]!
  const after = held + pending.length
  const isFull = after > decoding.capacity
  if (!isFull && !model.outgrows(held, after)) return pending
  decoding.reset(s)
  return sequence.slice(-(isFull ? Math.ceil(decoding.capacity / 2) : after))
}

/** Rows of a model whose rotary positions depend on the longest would turn as that one does. */
function rowsTogether(model: DecoderModel, rows: number, capacity: number): number {
  if (model.rotaryFrequencies(1) !== undefined) return 1
  const { numLayers, numKeyValueHeads, headDim } = model.config
  const bytes = 8 * numLayers * numKeyValueHeads * headDim * capacity
  return Math.max(1, Math.min(rows, mostRows, Math.floor(mostCacheBytes / bytes)))
}
