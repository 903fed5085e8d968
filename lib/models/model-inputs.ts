import { ArgumentError, checkOptions, describe, ShapeError } from '../errors.ts'

/** What models of text take: one row of token ids for each sequence, rows of any lengths. */
export interface ModelInputs {
  inputIds: readonly (readonly number[])[]
  /** 1 for tokens, 0 for padding: what is padded is left out. */
  attentionMask?: readonly (readonly number[])[] | undefined
  /** 0 or 1: the first or the second of two texts. */
  tokenTypeIds?: readonly (readonly number[])[] | undefined
}

/** Sequences as programs take them: the tokens of all of them, one sequence after another, without padding. */
export interface PackedBatch {
  readonly batch: number
  /** The ids that were given, those that are left out too. */
  readonly rows: readonly (readonly number[])[]
  readonly tokens: Int32Array
  /** Where the tokens stood in their rows. */
  readonly columns: Int32Array
  readonly types: Int32Array
  /** batch + 1 of them: sequence n is the tokens offsets[n] … offsets[n + 1] − 1. */
  readonly offsets: Int32Array
  /** Columns of the longest row that was given. */
  readonly width: number
  /** The number of tokens of the longest sequence. */
  readonly longest: number
  /** Columns up to the last token of any row that was given. */
  readonly reach: number
}

const inputNames = ['inputIds', 'attentionMask', 'tokenTypeIds'] as const

/**
 * Leaves padding out and puts the sequences one after another. Throws ArgumentError and ShapeError for rows that are
 * none. `more`: names of what else the inputs may have.
 */
export function packBatch(operation: string, inputs: ModelInputs, more: readonly string[] = []): PackedBatch {
  checkOptions(operation, inputs, [...inputNames, ...more])
  const { inputIds, attentionMask, tokenTypeIds } = inputs
  checkRows(operation, 'inputIds', inputIds)
  if (inputIds.length === 0) throw new ArgumentError(`${operation}: inputIds should have at least one row`)
  for (const [name, rows] of Object.entries({ attentionMask, tokenTypeIds }))
    if (rows !== undefined) checkRows(operation, name, rows, inputIds)
  const size = inputIds.reduce((sum, row) => sum + row.length, 0)
  const [tokens, columns, types] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)]
  const offsets = new Int32Array(inputIds.length + 1)
  let [count, width, longest, reach] = [0, 0, 0, 0]
  inputIds.forEach((row, i) => {
    const [mask, segments] = [attentionMask?.[i], tokenTypeIds?.[i]]
    for (let column = 0; column < row.length; column++) {
      if (mask && mask[column] === 0) continue
      tokens[count] = row[column]!
      columns[count] = column
      reach = Math.max(reach, column + 1)
      types[count++] = segments ? segments[column]! : 0
    }
    offsets[i + 1] = count
    const length = count - offsets[i]!
    if (length === 0) throw new ArgumentError(`${operation}: row ${i} has no tokens`)
    width = Math.max(width, row.length)
    longest = Math.max(longest, length)
  })
  const kept = (values: Int32Array): Int32Array => values.subarray(0, count)
  const [batch, all] = [inputIds.length, { tokens: kept(tokens), columns: kept(columns), types: kept(types) }]
  return { batch, rows: inputIds, ...all, offsets, width, longest, reach }
}

/** Throws ArgumentError and ShapeError unless these are rows of whole numbers, as long as those of inputIds. */
export function checkRows(
  operation: string,
  name: string,
  rows: readonly (readonly number[])[],
  like?: readonly (readonly number[])[],
): void {
  if (!Array.isArray(rows) || !rows.every(Array.isArray))
    throw new ArgumentError(`${operation}: ${name} should be rows of numbers, got ${describe(rows)}`)
  for (const row of rows as readonly (readonly unknown[])[])
    for (const value of row)
      if (!Number.isInteger(value))
        throw new ArgumentError(`${operation}: ${name} should hold whole numbers, got ${describe(value)}`)
  if (like && (rows.length !== like.length || rows.some((row, i) => row.length !== like[i]!.length)))
    throw new ShapeError(`${operation}: ${name} should have rows as long as those of inputIds`)
}

/** Each row as a batch of its own. */
export const rowsAlone = (whole: PackedBatch): PackedBatch[] =>
  Array.from({ length: whole.batch }, (_, i): PackedBatch => {
    const [begin, end] = [whole.offsets[i]!, whole.offsets[i + 1]!]
    const part = (values: Int32Array): Int32Array => values.subarray(begin, end)
    return {
      batch: 1,
      rows: [whole.rows[i]!],
      tokens: part(whole.tokens),
      columns: part(whole.columns),
      types: part(whole.types),
      offsets: Int32Array.of(0, end - begin),
      width: whole.width,
      longest: end - begin,
      reach: whole.reach,
    }
  })

/** Whether a row has padding between its tokens. */
export const hasHoles = ({ batch, offsets, columns }: PackedBatch): boolean =>
  Array.from({ length: batch }, (_, i) => i).some(
    (i) => columns[offsets[i + 1]! - 1]! - columns[offsets[i]!]! !== offsets[i + 1]! - offsets[i]! - 1,
  )
