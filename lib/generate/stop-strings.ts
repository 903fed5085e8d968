/** Looks for strings that end a text which comes in pieces. */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''
  #found: string | undefined

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The string that was found. Nothing comes after it. */
  get found(): string | undefined {
    return this.#found
  }

  /** What is certain to stand before any of the strings and was not given yet. */
  push(piece: string): string {
    if (this.#found !== undefined) return ''
    const text = this.#held + piece
    let end = text.length
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      if (at >= 0 && (at < end || this.#found === undefined)) [end, this.#found] = [at, stop]
    }
    if (this.#found === undefined) end -= Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)))
    this.#held = text.slice(end)
    return text.slice(0, end)
  }

  /** What was held back, as the text is at its end. */
  flush(): string {
    const text = this.#found === undefined ? this.#held : ''
    this.#held = ''
    return text
  }
}

/** How many characters at the end of a text begin a string that is longer. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length
  return 0
}
