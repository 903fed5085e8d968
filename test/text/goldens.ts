import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** What Hugging Face's tokenizers gave for one tokenizer.json; see test/reference/tokenizers/make_goldens.py. */
export interface Golden {
  readonly tokenizer: Record<string, any>
  readonly ids: readonly number[][]
  /** Starts and ends in turn, in code points. */
  readonly offsets: readonly number[][]
  readonly words: readonly (number | null)[][]
  readonly pairs: readonly [ids: number[], types: number[], sequences: (number | null)[]][]
  readonly plain: readonly number[][]
  readonly decoded: readonly string[]
  readonly skipped: readonly string[]
  readonly drawn: readonly [ids: number[], text: string][]
}

interface Goldens {
  readonly texts: readonly string[]
  readonly tokenizers: Readonly<Record<string, Golden>>
}

export const { texts, tokenizers } = JSON.parse(
  gunzipSync(readFileSync(new URL('../reference/tokenizers/goldens.json.gz', import.meta.url))).toString(),
) as Goldens

/** Offsets in UTF-16 units as offsets in code points. */
export function inCodePoints(text: string, offsets: readonly (readonly [number, number])[]): number[] {
  const points: number[] = []
  let count = 0
  for (const character of text.toWellFormed()) {
    for (let i = 0; i < character.length; i++) points.push(count)
    count++
  }
  points.push(count)
  return offsets.flatMap(([start, end]) => [points[start]!, points[end]!])
}
