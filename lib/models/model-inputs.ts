import { ArgumentError, checkOptions, describe, ShapeError } from '../errors.ts'

/** What models of text take: one row of token ids for each sequence, rows of any lengths. */
export interface ModelInputs {
  inputIds: readonly (readonly number[])[]
  /** 1 for tokens, 0 for padding: what is padded is left out. */
  attentionMask?: readonly (readonly number[])[] | undefined
  /** 0 or 1: the first or the second of two texts. */
  tokenTypeIds?: readonly (readonly number[])[] | undefined
}

/** Sequences as programs take them: [batch, length], shorter ones filled up at their ends. */
export interface PaddedBatch {
  readonly batch: number
  readonly length: number
  readonly tokens: Int32Array
  /** Where the tokens stood in their rows. */
  readonly positions: Int32Array
  readonly types: Int32Array
  readonly keyLengths: Int32Array
  /** The number of each sequence's first token among all of them. */
  readonly first: Int32Array
  /** Columns of the longest row that was given. */
  readonly columns: number
}

/** Leaves padding out and puts the rows side by side. Throws ArgumentError and ShapeError for rows that are none. */
export function padBatch(operation: string, inputs: ModelInputs): PaddedBatch {
  checkOptions(operation, inputs, ['inputIds', 'attentionMask', 'tokenTypeIds', 'labels'])
  const { inputIds, attentionMask, tokenTypeIds } = inputs
  checkRows(operation, 'inputIds', inputIds)
  if (inputIds.length === 0) throw new ArgumentError(`${operation}: inputIds should have at least one row`)
  for (const [name, rows] of Object.entries({ attentionMask, tokenTypeIds }))
    if (rows !== undefined) checkRows(operation, name, rows, inputIds)
  const kept = inputIds.map((row, i) => [...row.keys()].filter((j) => (attentionMask?.[i]![j] ?? 1) !== 0))
  const empty = kept.findIndex((columns) => columns.length === 0)
  if (empty >= 0) throw new ArgumentError(`${operation}: row ${empty} has no tokens`)
  const batch = kept.length
  const length = Math.max(...kept.map((columns) => columns.length))
  const [tokens, positions, types] = [0, 1, 2].map(() => new Int32Array(batch * length)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ]
  kept.forEach((columns, i) =>
    columns.forEach((column, j) => {
      tokens[i * length + j] = inputIds[i]![column]!
      positions[i * length + j] = column
      types[i * length + j] = tokenTypeIds?.[i]![column] ?? 0
    }),
  )
  return {
    batch,
    length,
    tokens,
    positions,
    types,
    keyLengths: Int32Array.from(kept, (columns) => columns.length),
    first: Int32Array.from(kept, (_, i) => i * length),
    columns: Math.max(...inputIds.map((row) => row.length)),
  }
}

function checkRows(
  operation: string,
  name: string,
  rows: readonly (readonly number[])[],
  like?: readonly (readonly number[])[],
): void {
  if (!Array.isArray(rows) || !rows.every(Array.isArray))
    throw new ArgumentError(`${operation}: ${name} should be rows of numbers, got ${describe(rows)}`)
  const wrong = (rows as readonly (readonly unknown[])[]).flat().find((value) => !Number.isInteger(value))
  if (wrong !== undefined)
    throw new ArgumentError(`${operation}: ${name} should hold whole numbers, got ${describe(wrong)}`)
  if (like && (rows.length !== like.length || rows.some((row, i) => row.length !== like[i]!.length)))
    throw new ShapeError(`${operation}: ${name} should have rows as long as those of inputIds`)
}

/** Numbers [batch·length, width] of a padded batch at the places where their tokens were given; zero elsewhere. */
export function unpad(padded: PaddedBatch, rows: Float32Array, width: number): Float32Array {
  const { batch, length, keyLengths, positions, columns } = padded
  const placed = new Float32Array(batch * columns * width)
  for (let i = 0; i < batch; i++)
    for (let j = 0; j < keyLengths[i]!; j++) {
      const from = (i * length + j) * width
      placed.set(rows.subarray(from, from + width), (i * columns + positions[i * length + j]!) * width)
    }
  return placed
}
