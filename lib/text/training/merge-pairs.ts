import type { Pause } from './pause.ts'

export interface MergeOptions {
  /** How many tokens there should be, those that are given included. */
  readonly vocabSize: number
  /** Pairs that are rarer are not merged. */
  readonly minFrequency: number
  /** Stands before every token but the first of a word, and is left out when two are joined; empty for none. */
  readonly prefix: string
  /** Called after some merges with how many tokens there are. */
  readonly onTokens: (count: number) => void
}

/** No pair has more than 2^26 tokens on either side, so that it is one number. */
const radix = 2 ** 26

/**
 * Byte-pair encoding: the most frequent pair of neighbours becomes a token, again and again; of equals the one whose ids
 * are the lowest. Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with Subword Units, 2016. Counts
 * are kept up to date by what each merge changes, and the queue may hold old counts, which are put right when they
 * come to its head, as in Hugging Face's tokenizers; the merges are the same.
 *
 * `words` are ids of `tokens`, each with its frequency; they and `tokens` (and `ids`) are changed.
 */
export async function mergePairs(
  words: number[][],
  frequencies: readonly number[],
  tokens: string[],
  ids: Map<string, number>,
  options: MergeOptions,
  pause: Pause,
): Promise<[left: string, right: string][]> {
  const counts = new Map<number, number>()
  const places = new Map<number, Set<number>>()
  const put = (left: number, right: number, word: number, change: number): number => {
    const pair = left * radix + right
    counts.set(pair, (counts.get(pair) ?? 0) + change * frequencies[word]!)
    if (change > 0) {
      const known = places.get(pair)
      if (known) known.add(word)
      else places.set(pair, new Set([word]))
    }
    return pair
  }
  for (const [w, word] of words.entries()) {
    for (let i = 1; i < word.length; i++) put(word[i - 1]!, word[i]!, w, 1)
    if (pause.isDue()) await pause.take()
  }
  const queue = new PairQueue()
  for (const [pair, count] of counts) {
    if (count > 0) queue.push(pair, count)
    if (pause.isDue()) await pause.take()
  }

  const merges: [string, string][] = []
  while (tokens.length < options.vocabSize) {
    const top = queue.pop()
    if (top === undefined) break
    const count = counts.get(top.pair)!
    if (count !== top.count) {
      if (count > 0) queue.push(top.pair, count)
      if (pause.isDue()) await pause.take()
      continue
    }
    if (count < 1 || count < options.minFrequency) break
    const [left, right] = [Math.floor(top.pair / radix), top.pair % radix]
    const second = tokens[right]!
    const joined =
      tokens[left]! +
      (options.prefix && second.startsWith(options.prefix) ? second.slice(options.prefix.length) : second)
    let id = ids.get(joined)
    if (id === undefined) {
      id = tokens.push(joined) - 1
      ids.set(joined, id)
    }
    merges.push([tokens[left]!, second])
    const touched = new Set<number>()
    const where = places.get(top.pair)!
    places.delete(top.pair)
    for (const w of where) {
      const word = words[w]!
      let to = 0
      for (let i = 0; i < word.length; i++, to++) {
        if (word[i] !== left || word[i + 1] !== right) {
          word[to] = word[i]!
          continue
        }
        if (to > 0) {
          put(word[to - 1]!, left, w, -1)
          touched.add(put(word[to - 1]!, id, w, 1))
        }
        word[to] = id
        i++
        if (i + 1 < word.length) {
          put(right, word[i + 1]!, w, -1)
          touched.add(put(id, word[i + 1]!, w, 1))
        }
      }
      word.length = to
      if (pause.isDue()) await pause.take()
    }
    for (const pair of touched) {
      if (counts.get(pair)! > 0) queue.push(pair, counts.get(pair)!)
      if (pause.isDue()) await pause.take()
    }
    options.onTokens(tokens.length)
  }
  return merges
}

interface Entry {
  readonly pair: number
  readonly count: number
}

/** A binary heap: the largest count first, of equals the lowest pair. */
class PairQueue {
  readonly #heap: Entry[] = []

  push(pair: number, count: number): void {
    const heap = this.#heap
    const entry = { pair, count }
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  pop(): Entry | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top === undefined || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (child >= heap.length || !isBefore(heap[child]!, last!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last!
    return top
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.count > b.count || (a.count === b.count && a.pair < b.pair)
