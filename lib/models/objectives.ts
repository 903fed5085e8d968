import { ArgumentError, describe, ShapeError } from '../errors.ts'
import {
  add,
  attention,
  concat,
  crossEntropy,
  fill,
  log,
  multiply,
  reshape,
  square,
  subtract,
  sum,
  transpose,
} from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRows, type ModelInputs, type PackedBatch } from './model-inputs.ts'
import type { Sequences } from './pooling.ts'
import { sequencesFor } from './ragged-programs.ts'

/** What a model is trained for: classes of tokens or sequences, or where answers begin and end. */
export interface TaskLabels {
  /** As inputIds for tokens, −100 counting for nothing; a number for each sequence. */
  labels?: readonly number[] | readonly (readonly number[])[] | undefined
  /** Of question answering: the columns of the first and the last token of each answer. */
  startPositions?: readonly number[] | undefined
  endPositions?: readonly number[] | undefined
}
const labelNames = ['labels', 'startPositions', 'endPositions'] as const satisfies (keyof TaskLabels)[]

/** The labels apart from what the model reads. Throws ArgumentError for labels that `needed` does not name. */
export function splitLabels(
  operation: string,
  given: ModelInputs & TaskLabels,
  needed: readonly (keyof TaskLabels)[],
): { inputs: ModelInputs; labels: TaskLabels } {
  const { labels, startPositions, endPositions, ...inputs } = given
  const all: TaskLabels = { labels, startPositions, endPositions }
  for (const name of labelNames)
    if (all[name] !== undefined && !needed.includes(name))
      throw new ArgumentError(`${operation}: ${name} is not for this task, which is trained on ${needed.join(' and ')}`)
  return { inputs, labels: all }
}

/** A loss, and the arrays that its program takes beside the batch. */
export interface Objective<Targets extends string = string> {
  readonly name: string
  readonly labels: readonly (keyof TaskLabels)[]
  /** Targets that have one element for each token. */
  readonly rowInputs: readonly Targets[]
  targets(
    operation: string,
    labels: TaskLabels,
    inputs: ModelInputs,
    batch: PackedBatch,
  ): Record<Targets, Int32Array | Float32Array>
  loss(logits: Tensor, targets: Readonly<Record<Targets, Tensor>>, sequences: Sequences): Tensor
}

/** The labels of tokens where they stand in the packed batch. */
export function packLabels(operation: string, given: unknown, inputs: ModelInputs, batch: PackedBatch): Int32Array {
  const rows = given as number[][]
  if (!Array.isArray(rows))
    throw new ShapeError(`${operation}: labels should have rows as long as those of inputIds, got ${describe(given)}`)
  checkRows(operation, 'labels', rows, inputs.inputIds)
  const { offsets, columns } = batch
  const labels = new Int32Array(columns.length)
  for (let i = 0; i < batch.batch; i++)
    for (let row = offsets[i]!; row < offsets[i + 1]!; row++) labels[row] = rows[i]![columns[row]!]!
  return labels
}

/** The mean cross-entropy of the class of each token. */
export const tokenClasses: Objective<'targets'> = {
  name: 'tokenClasses',
  labels: ['labels'],
  rowInputs: ['targets'],
  targets: (operation, { labels }, inputs, batch) => ({ targets: packLabels(operation, labels, inputs, batch) }),
  loss: (logits, { targets }) => crossEntropy(logits, targets),
}

/** The mean cross-entropy of the token after each one: the label of the column behind it, as transformers shifts them. */
export const nextTokens: Objective<'targets'> = {
  ...tokenClasses,
  name: 'nextTokens',
  targets: (operation, { labels }, inputs, batch) => {
    const shifted = (rows: unknown): unknown =>
      Array.isArray(rows)
        ? rows.map((row: unknown) => (Array.isArray(row) ? [...row.slice(1), ...row.slice(0, 1).fill(-100)] : row))
        : rows
    return { targets: packLabels(operation, shifted(labels), inputs, batch) }
  },
}

/** The mean binary cross-entropy of one score z of each token: the cross-entropy of the two classes [0, z]. */
export const replacedTokens: Objective<'targets'> = {
  ...tokenClasses,
  name: 'replacedTokens',
  loss: (logits, { targets }) => crossEntropy(concat([multiply(logits, 0), logits], 1), targets),
}

function checkNumbers(operation: string, name: string, given: unknown, batch: number, whole: boolean): number[] {
  const fits = whole ? Number.isInteger : Number.isFinite
  if (!Array.isArray(given) || given.length !== batch || !given.every((value) => fits(value)))
    throw new ShapeError(
      `${operation}: ${name} should be ${batch} ${whole ? 'whole ' : ''}numbers, got ${describe(given)}`,
    )
  return given as number[]
}

/** The mean cross-entropy of the class of each sequence. */
export const sequenceClasses: Objective<'targets'> = {
  name: 'sequenceClasses',
  labels: ['labels'],
  rowInputs: [],
  targets: (operation, { labels }, _, { batch }) => {
    const targets = new Int32Array(sequencesFor(batch)).fill(-100)
    targets.set(checkNumbers(operation, 'labels', labels, batch, true))
    return { targets }
  },
  loss: (logits, { targets }) => crossEntropy(logits, targets),
}

/** The mean squared error of the one number that the model gives for each sequence. */
export const sequenceScores: Objective<'targets' | 'weights'> = {
  name: 'sequenceScores',
  labels: ['labels'],
  rowInputs: [],
  targets: (operation, { labels }, _, { batch }) => {
    const size = sequencesFor(batch)
    const [targets, weights] = [new Float32Array(size), new Float32Array(size).fill(1 / batch, 0, batch)]
    targets.set(checkNumbers(operation, 'labels', labels, batch, false))
    return { targets, weights }
  },
  loss: (logits, { targets, weights }) => sum(multiply(weights, square(subtract(reshape(logits, [-1]), targets)))),
}

/**
 * The mean of the cross-entropies of where answers begin and where they end among the tokens of their sequence. A
 * target's probability is what attention with the logits as scores makes of values that are 1 at the target.
 */
export const answers: Objective<'isStart' | 'isEnd' | 'isEmpty' | 'weights'> = {
  name: 'answers',
  labels: ['startPositions', 'endPositions'],
  rowInputs: ['isStart', 'isEnd'],
  targets: (operation, { startPositions, endPositions }, _, batch) => {
    const size = sequencesFor(batch.batch)
    return {
      isStart: marked(operation, 'startPositions', startPositions, batch),
      isEnd: marked(operation, 'endPositions', endPositions, batch),
      isEmpty: new Float32Array(size).fill(1, batch.batch),
      weights: new Float32Array(size).fill(-0.5 / batch.batch, 0, batch.batch),
    }
  },
  loss: (logits, { isStart, isEnd, isEmpty, weights }, { offsets, results }) => {
    const heads = (x: Tensor): Tensor => transpose(reshape(x, [1, -1, 2, 1]), [0, 2, 1, 3])
    const column = (x: Tensor): Tensor => reshape(x, [-1, 1])
    const values = heads(concat([column(isStart), column(isEnd)], 1))
    const query = fill([1, 2, isEmpty.shape[0]!, 1], 1)
    const probabilities = attention(query, heads(logits), values, { offsets: results, keyOffsets: offsets, scale: 1 })
    return sum(multiply(weights, log(add(reshape(probabilities, [2, -1]), isEmpty))))
  },
}

/** 1 for the token at the given column of each row, 0 for all others. */
function marked(operation: string, name: string, given: unknown, { batch, offsets, columns }: PackedBatch) {
  const marks = new Float32Array(columns.length)
  checkNumbers(operation, name, given, batch, true).forEach((column, i) => {
    const at = columns.subarray(offsets[i]!, offsets[i + 1]!).indexOf(column)
    if (at < 0)
      throw new ArgumentError(`${operation}: ${name}[${i}] should be the column of a token of row ${i}, got ${column}`)
    marks[offsets[i]! + at] = 1
  })
  return marks
}
