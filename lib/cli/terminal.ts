/** What is needed of `process.stderr`. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface Terminal {
  /** Lines can be rewritten in place. */
  readonly interactive: boolean
  /** Colours are wanted: a terminal, and neither NO_COLOR nor TERM=dumb. */
  readonly color: boolean
  /** Characters per line. */
  readonly width: number
}

type Environment = Readonly<Record<string, string | undefined>>

export function terminalOf(output: Output = process.stderr, environment: Environment = process.env): Terminal {
  const interactive = output.isTTY === true && environment['TERM'] !== 'dumb'
  return { interactive, color: interactive && !environment['NO_COLOR'], width: output.columns || 80 }
}

export type Color = 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan'

const codes: Readonly<Record<Color, number>> = { dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 }

/** `text` in a colour, if `wanted`. */
export const paint = (text: string, color: Color, wanted: boolean): string =>
  wanted ? `\x1b[${codes[color]}m${text}\x1b[0m` : text

/** At most `width` characters of `text`; escapes take no room. */
export function clip(text: string, width: number): string {
  let room = width
  // oxlint-disable-next-line no-control-regex
  return text.replace(/(\x1b\[[0-9;]*m)|./gsu, (character, escape) => (escape || room-- > 0 ? character : ''))
}

/** Ten times a second is as often as eyes can follow. */
const millisecondsBetween = 100

/** One line at the bottom of a terminal that is rewritten in place. Writes nothing at all when it is no terminal. */
export class StatusLine {
  readonly #output: Output
  readonly #now: () => number
  readonly #interactive: boolean
  #shownAt = -Infinity
  #shown = ''

  constructor(output: Output = process.stderr, now: () => number = () => performance.now()) {
    this.#output = output
    this.#now = now
    this.#interactive = terminalOf(output).interactive
  }

  /** Shows what `line` makes of the terminal, at most ten times a second: in between it is not even called. */
  update(line: (terminal: Terminal) => string): void {
    if (!this.#interactive || this.#now() - this.#shownAt < millisecondsBetween) return
    this.#show(line)
  }

  /** Shows a last line in any case and leaves it on the screen. */
  finish(line: (terminal: Terminal) => string): void {
    if (!this.#interactive) return
    this.#show(line)
    this.#output.write('\n')
    this.#shown = ''
  }

  /** Removes the line, for something else to be written. */
  clear(): void {
    if (this.#shown) this.#output.write('\r\x1b[K')
    this.#shown = ''
    this.#shownAt = -Infinity
  }

  #show(line: (terminal: Terminal) => string): void {
    const terminal = terminalOf(this.#output)
    // A character in the last column would make some terminals begin a new line.
    const text = clip(line(terminal), terminal.width - 1)
    if (text !== this.#shown) this.#output.write(`\r${text}\x1b[K`)
    this.#shown = text
    this.#shownAt = this.#now()
  }
}
