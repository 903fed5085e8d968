/** How beams are compared. */
export interface BeamOptions {
  numBeams: number
  maxNewTokens: number
  stopTokens: readonly number[]
  /** Scores are divided by length to this power: above 0 favours long targets, below 0 short ones. */
  lengthPenalty: number
  /**
   * true: as soon as there are numBeams whole targets; false: when no better one is likely to come; 'never': when none
   * can.
   */
  earlyStopping: boolean | 'never'
}

interface Beam {
  readonly tokens: readonly number[]
  /** The sum of the logarithms of its tokens' probabilities; of a whole target, divided by the length. */
  readonly score: number
}
interface Candidate {
  readonly beam: number
  readonly token: number
  readonly score: number
}

/** Less than any score. */
const worst = -1e9

/**
 * The numBeams likeliest targets of one source, followed a token at a time, and the best of those that ended: as
 * transformers 5 does it, so that its results are the same.
 */
export class BeamSearch {
  /** Those that go on, the best first. */
  beams: readonly Beam[]
  /** For each of them, which one of before it goes on from. */
  parents: readonly number[]
  readonly #options: BeamOptions
  /** Tokens that were given. */
  readonly #begin: number
  #ended: readonly (Beam & { isWhole: boolean })[]
  #canImprove = true
  #isOver = false

  /** `start`: what all of them begin with, a prompt or the one token before a target. */
  constructor(start: readonly number[], options: BeamOptions) {
    const { numBeams } = options
    this.#options = options
    this.#begin = start.length
    // All begin alike: only the first one is followed.
    this.beams = Array.from({ length: numBeams }, (_, i) => ({ tokens: start, score: i ? worst : 0 }))
    this.parents = this.beams.map((_, i) => i)
    this.#ended = this.beams.map(({ tokens }) => ({ tokens, score: worst, isWhole: false }))
  }

  get isDone(): boolean {
    const { earlyStopping } = this.#options
    return this.#isOver || !this.#canImprove || (earlyStopping === true && this.#isFull)
  }

  /** The best target, without what it begins with. */
  get best(): number[] {
    return this.#ended[0]!.tokens.slice(this.#begin)
  }

  get #isFull(): boolean {
    return this.#ended.every(({ isWhole }) => isWhole)
  }

  /** Goes on by a token. `scores`: of each beam, the logarithms of the probabilities of what follows. */
  advance(scores: readonly Float32Array[]): void {
    const { numBeams, maxNewTokens, stopTokens, lengthPenalty, earlyStopping } = this.#options
    const length = this.beams[0]!.tokens.length - this.#begin + 1
    const candidates = this.#likeliest(scores, Math.max(2, 1 + stopTokens.length) * numBeams)
    const ends = candidates.map(({ token }) => length >= maxNewTokens || stopTokens.includes(token))
    const tokensOf = ({ beam, token }: Candidate): number[] => [...this.beams[beam]!.tokens, token]

    const isClosed = (earlyStopping === true && this.#isFull) || !this.#canImprove
    const whole = candidates.flatMap((candidate, i) =>
      i < numBeams && ends[i] && !isClosed
        ? [{ tokens: tokensOf(candidate), score: candidate.score / length ** lengthPenalty, isWhole: true }]
        : [],
    )
    this.#ended = best([...this.#ended, ...whole], numBeams)

    const running = best(
      candidates.map((candidate, i) => ({ ...candidate, score: candidate.score + (ends[i] ? worst : 0) })),
      numBeams,
    )
    this.beams = running.map((candidate) => ({ tokens: tokensOf(candidate), score: candidate.score }))
    this.parents = running.map(({ beam }) => beam)
    this.#isOver = ends.every(Boolean)
    const longest = earlyStopping === 'never' && lengthPenalty > 0 ? maxNewTokens : length
    const possible = this.beams[0]!.score / longest ** lengthPenalty
    const lowest = Math.min(...this.#ended.map(({ score }) => score))
    this.#canImprove &&= this.#ended.some(({ isWhole }) => possible > (isWhole ? lowest : worst))
  }

  /** The candidates of highest score among all that follow, the best first. */
  #likeliest(scores: readonly Float32Array[], count: number): Candidate[] {
    const found: Candidate[] = []
    let least = -Infinity
    scores.forEach((row, beam) => {
      const before = this.beams[beam]!.score
      for (let token = 0; token < row.length; token++) {
        const score = before + row[token]!
        if (found.length === count && score <= least) continue
        let at = found.length
        while (at > 0 && found[at - 1]!.score < score) at--
        found.splice(at, 0, { beam, token, score })
        if (found.length > count) found.pop()
        least = found.at(-1)!.score
      }
    })
    return found
  }
}

/** The `count` of highest score; of equals the first. */
const best = <B extends { score: number }>(all: readonly B[], count: number): B[] =>
  [...all].sort((a, b) => b.score - a.score).slice(0, count)

/** Rows that grow by a token each and change places: what a search needs of a model. */
export interface BeamRows {
  /** Logarithms of the probabilities of what follows each row, which may be changed. */
  step(tokens: readonly number[]): Promise<readonly Float32Array[]>
  /** Row i goes on from what row parents[i] holds. */
  reorder(parents: readonly number[]): Promise<void>
}

/**
 * The best continuation of each start. `first`: the scores of what follows them, numBeams rows for each; `adjust` changes
 * those of one beam.
 */
export async function searchBeams(
  rows: BeamRows,
  starts: readonly (readonly number[])[],
  first: readonly Float32Array[] | undefined,
  options: BeamOptions,
  adjust: (scores: Float32Array, tokens: readonly number[], begin: number) => void,
  signal: AbortSignal | undefined,
): Promise<number[][]> {
  const { numBeams, maxNewTokens } = options
  const searches = starts.map((start) => new BeamSearch(start, options))
  for (let made = 0; made < maxNewTokens && !searches.every(({ isDone }) => isDone); made++) {
    signal?.throwIfAborted()
    const last = searches.flatMap(({ beams }) => beams.map((beam) => beam.tokens.at(-1)!))
    const scores = made === 0 && first ? first : await rows.step(last)
    searches.forEach((search, i) => {
      if (search.isDone) return
      const own = scores.slice(i * numBeams, (i + 1) * numBeams)
      own.forEach((row, beam) => adjust(row, search.beams[beam]!.tokens, starts[i]!.length))
      search.advance(own)
    })
    const parents = searches.flatMap((search, i) =>
      search.parents.map((parent, beam) => i * numBeams + (search.isDone ? beam : parent)),
    )
    await rows.reorder(parents)
  }
  return searches.map(({ best }) => best)
}
