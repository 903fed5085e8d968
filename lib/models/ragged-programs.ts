import { compile, type Compiled, type Inputs, type RunOptions } from '../graph/compile.ts'

/** The fewest rows that a program is planned for: programs for fewer would be no smaller to speak of. */
const fewestRows = 32

/** Each serves twice as many rows as the one before, so that these are all but the rarest sizes. */
const mostPrograms = 8

/** How many rows a program is planned for that serves so many. */
const capacityFor = (rows: number): number => Math.max(fewestRows, 2 ** Math.ceil(Math.log2(rows)))

/**
 * How many sequences a program is planned for that serves so many. Those that are missing are empty: no row is computed
 * for them but those of a head for whole sequences.
 */
export const sequencesFor = (batch: number): number => 4 ** Math.ceil(Math.log2(batch) / 2)

/**
 * One function as programs for any number of rows: those of a size that was seen run again without tracing, and no more
 * than a few are kept, those that were used last.
 */
export class RaggedPrograms<I extends object, O> implements Disposable {
  readonly #build: (inputs: I) => O
  readonly #rowInputs: readonly string[]
  readonly #exact: boolean
  /** By capacity, the one used last at the end. */
  readonly #programs = new Map<number, Compiled<I, O>>()

  /**
   * `rowInputs`: the inputs that have one element, or row, for each token, as `compile` names them. `exact`: a program
   * serves one number of rows only, for results with two dimensions that follow it.
   */
  constructor(build: (inputs: I) => O, rowInputs: readonly string[], { exact = false }: { exact?: boolean } = {}) {
    this.#exact = exact
    this.#build = build
    this.#rowInputs = rowInputs
  }

  /** Runs the program for this many rows, off the event loop. The tensors of the result belong to the caller. */
  async run(rows: number, inputs: Inputs<I>, options: RunOptions = {}): Promise<O> {
    return this.at(rows).run(inputs, options)
  }

  /** The program that serves so many rows. It is disposed of with this, or when others were used since. */
  at(rows: number): Compiled<I, O> {
    const capacity = this.#exact ? rows : capacityFor(rows)
    const options = this.#exact ? {} : { rows: { capacity, inputs: this.#rowInputs } }
    const program = this.#programs.get(capacity) ?? compile(this.#build, options)
    this.#programs.delete(capacity)
    this.#programs.set(capacity, program)
    for (const [oldest, unused] of this.#programs) {
      if (this.#programs.size <= mostPrograms) break
      unused.dispose()
      this.#programs.delete(oldest)
    }
    return program
  }

  /** Whether the program for so many rows is there already. */
  isKept(rows: number): boolean {
    return this.#programs.has(this.#exact ? rows : capacityFor(rows))
  }

  /** Bytes of planned memory of all programs that are kept. */
  get memoryBytes(): number {
    return [...this.#programs.values()].reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose()
    this.#programs.clear()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}
