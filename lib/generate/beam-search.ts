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
  #ended: readonly (Beam & { isWhole: boolean })[]
  #canImprove = true
  #isOver = false

  constructor(start: number, options: BeamOptions) {
    const { numBeams } = options
    this.#options = options
    // All begin alike: only the first one is followed.
    this.beams = Array.from({ length: numBeams }, (_, i) => ({ tokens: [start], score: i ? worst : 0 }))
    this.parents = this.beams.map((_, i) => i)
    this.#ended = this.beams.map(({ tokens }) => ({ tokens, score: worst, isWhole: false }))
  }

  get isDone(): boolean {
    const { earlyStopping } = this.#options
    return this.#isOver || !this.#canImprove || (earlyStopping === true && this.#isFull)
  }

  /** The best target, without what it begins with. */
  get best(): number[] {
    return this.#ended[0]!.tokens.slice(1)
  }

  get #isFull(): boolean {
    return this.#ended.every(({ isWhole }) => isWhole)
  }

  /** Goes on by a token. `scores`: of each beam, the logarithms of the probabilities of what follows. */
  advance(scores: readonly Float32Array[]): void {
    const { numBeams, maxNewTokens, stopTokens, lengthPenalty, earlyStopping } = this.#options
    const length = this.beams[0]!.tokens.length
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
