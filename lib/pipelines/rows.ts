import { setImmediate } from 'node:timers/promises'
import type { ModelInputs } from '../models/model-inputs.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Encoding, EncodingOptions } from '../text/encoding.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** How inputs that are longer than the model are read. */
export interface TruncationOptions {
  /** true: they are cut to what the model takes. Otherwise they are an error. */
  truncation?: boolean
}

/** The event loop waits for so many characters at a time. */
const charactersOfPiece = 1 << 15

/** A model that takes so many tokens of a text, and what makes them. */
interface Reader {
  readonly model: { readonly body: { readonly config: { readonly context: number } } }
  readonly tokenizer: Tokenizer
}

/** The rows of texts (or pairs of texts), piece by piece, so that others get their turn. Options are those of the tokenizer. */
export async function encodeRows(
  { model, tokenizer }: Reader,
  texts: readonly string[],
  {
    signal,
    pairs,
    maxLength = Infinity,
    ...options
  }: Omit<EncodingOptions, 'textPair' | 'padding'> & {
    signal?: AbortSignal | undefined
    pairs?: readonly string[]
  },
): Promise<Encoding> {
  const whole: Record<string, unknown[]> = { inputIds: [] }
  const limit = Math.min(maxLength, tokenizer.modelMaxLength ?? Infinity, model.body.config.context)
  for (let from = 0; from < texts.length;) {
    signal?.throwIfAborted()
    let to = from
    for (let size = 0; to < texts.length && (to === from || size < charactersOfPiece); to++)
      size += texts[to]!.length + (pairs?.[to]!.length ?? 0)
    const piece = tokenizer(texts.slice(from, to), {
      ...options,
      maxLength: limit,
      ...(pairs && { textPair: pairs.slice(from, to) }),
    })
    for (const [name, rows] of Object.entries(piece) as [keyof Encoding, unknown[]][])
      for (const row of rows) (whole[name] ??= []).push(name === 'textOfRow' ? (row as number) + from : row)
    from = to
    await setImmediate()
  }
  return whole as unknown as Encoding
}

/** What a model gives for rows of tokens. */
type RunRows<Outputs> = (inputs: ModelInputs, options: { signal?: AbortSignal }) => Promise<Outputs>

/**
 * What `read` makes of each row, in the order of the rows. Rows of like lengths are run together, about `tokensOfRun` tokens
 * at a time; `read` gets what the model gave for several, and which of them is the row.
 */
export async function mapRows<Outputs extends Disposable, Read>(
  run: RunRows<Outputs>,
  { inputIds, tokenTypeIds }: Encoding,
  { signal, tokensOfRun = 2048 }: { signal?: AbortSignal | undefined; tokensOfRun?: number },
  read: (outputs: Outputs, place: number, row: number) => Read,
): Promise<Read[]> {
  const order = inputIds.map((_, row) => row).sort((a, b) => inputIds[a]!.length - inputIds[b]!.length)
  const made = new Array<Read>(order.length)
  for (let from = 0; from < order.length;) {
    let to = from
    for (let tokens = 0; to < order.length; to++) {
      tokens += inputIds[order[to]!]!.length
      if (to > from && tokens > tokensOfRun) break
    }
    const rows = order.slice(from, to)
    const inputs = {
      inputIds: rows.map((row) => inputIds[row]!),
      ...(tokenTypeIds && { tokenTypeIds: rows.map((row) => tokenTypeIds[row]!) }),
    }
    using outputs = await run(inputs, signal ? { signal } : {})
    rows.forEach((row, place) => (made[row] = read(outputs, place, row)))
    from = to
  }
  return made
}

/** The numbers of one row of [rows, …] that a program gave: a view. */
export function rowOf(tensor: Tensor, row: number): Float32Array {
  const size = tensor.size / tensor.shape[0]!
  return (tensor.data() as Float32Array).subarray(row * size, (row + 1) * size)
}
