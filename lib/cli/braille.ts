/** Bits of the dots of a braille character, [row][column]: U+2800 plus these. */
const dotBits = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const

/** A grid of dots, 2 × 4 to a character; (0, 0) is the upper left. */
export class BrailleCanvas {
  readonly columns: number
  readonly rows: number
  readonly #cells: Uint8Array

  /** `columns` × `rows` characters. */
  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
    this.#cells = new Uint8Array(columns * rows)
  }
  get width(): number {
    return this.columns * 2
  }
  get height(): number {
    return this.rows * 4
  }

  dot(x: number, y: number): void {
    this.#cells[(y >> 2) * this.columns + (x >> 1)]! |= dotBits[y & 3]![x & 1]!
  }

  /** Every dot nearest to the line between two dots. */
  line(x0: number, y0: number, x1: number, y1: number): void {
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1)
    for (let i = 0; i <= steps; i++)
      this.dot(Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps))
  }

  /** The character of a cell; a space where there is no dot. */
  character(column: number, row: number): string {
    const dots = this.#cells[row * this.columns + column]!
    return dots ? String.fromCharCode(0x2800 + dots) : ' '
  }
}
