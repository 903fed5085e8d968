import { ArgumentError, checkOptions, ShapeError } from '../errors.ts'
import type { ResolvedEncoderDecoderConfig } from './encoder-decoder-config.ts'
import type { EncoderDecoderModel } from './encoder-decoder-model.ts'
import { checkRows, hasHoles, packBatch, type ModelInputs, type PackedBatch } from './model-inputs.ts'
import { sequencesFor } from './ragged-programs.ts'

type Rows = readonly (readonly number[])[]

/** What encoder-decoder models take: a source for each row, and a target. */
export interface Seq2SeqInputs extends Omit<ModelInputs, 'tokenTypeIds'> {
  /** What the decoder reads. */
  decoderInputIds?: Rows | undefined
  decoderAttentionMask?: Rows | undefined
  /** The target, −100 where none is asked for; without decoderInputIds the decoder reads it moved to the right by one. */
  labels?: Rows | undefined
}

export interface Seq2SeqBatch {
  readonly source: PackedBatch
  readonly target: PackedBatch
}

const names = ['inputIds', 'attentionMask', 'decoderInputIds', 'decoderAttentionMask', 'labels']

/** Source and target, packed. Throws ArgumentError and ShapeError for rows that are none or don't go together. */
export function packSeq2Seq(
  operation: string,
  inputs: Seq2SeqInputs,
  config: ResolvedEncoderDecoderConfig,
): Seq2SeqBatch {
  checkOptions(operation, inputs, names)
  const { inputIds, attentionMask, decoderAttentionMask, labels } = inputs
  const source = packSource(operation, { inputIds, attentionMask }, config)
  if (labels !== undefined) checkRows(operation, 'labels', labels)
  if (inputs.decoderInputIds !== undefined) checkRows(operation, 'decoderInputIds', inputs.decoderInputIds, labels)
  const decoderInputIds = inputs.decoderInputIds ?? labels?.map((row) => shiftRight(operation, row, config))
  if (decoderInputIds === undefined)
    throw new ArgumentError(`${operation}: give decoderInputIds, or labels to make them of`)
  if (decoderInputIds.length !== inputIds.length)
    throw new ShapeError(
      `${operation}: the target should have as many rows as inputIds, ${inputIds.length}, got ${decoderInputIds.length}`,
    )
  const target = packBatch(operation, { inputIds: decoderInputIds, attentionMask: decoderAttentionMask })
  checkLimits(operation, target, config)
  return { source, target }
}

export function packSource(operation: string, inputs: ModelInputs, config: ResolvedEncoderDecoderConfig): PackedBatch {
  const source = packBatch(operation, inputs)
  checkLimits(operation, source, config)
  return source
}

function checkLimits(operation: string, batch: PackedBatch, { context }: ResolvedEncoderDecoderConfig): void {
  if (batch.width > context)
    throw new ArgumentError(
      `${operation}: the longest row has ${batch.width} tokens, but the model takes at most ${context}; shorten the text (truncation)`,
    )
}

/** Whether places of tokens do not tell how far they are apart, which relative positions see. */
export const seesHoles = ({ config }: EncoderDecoderModel, batch: PackedBatch): boolean =>
  config.positions === 'relative' && hasHoles(batch)

/** Throws ArgumentError for padding between the tokens of rows that are read together. */
export function refuseHoles(operation: string, model: EncoderDecoderModel, batch: PackedBatch): void {
  if (batch.batch > 1 && seesHoles(model, batch))
    throw new ArgumentError(
      `${operation}: attentionMask has padding between tokens, which this model can leave out of one row at a time only; put the padding at one end`,
    )
}

/** What a decoder reads to say `labels`: what the target begins with, and all of it but the last token. */
export function shiftRight(
  operation: string,
  labels: readonly number[],
  { padToken, startToken }: ResolvedEncoderDecoderConfig,
): number[] {
  if (labels.length === 0) return []
  const tokens = labels.map((label) => (label === -100 ? padToken : label))
  const last = tokens.filter((token) => token !== padToken).length - 1
  const shifted = [startToken >= 0 ? startToken : tokens.at(last)!, ...tokens.slice(0, -1)]
  if (padToken < 0 && shifted.includes(-1))
    throw new ArgumentError(
      `${operation}: labels have −100 before their end, and this model has no padding token to read there; give decoderInputIds`,
    )
  return shifted
}

/** A packed batch as programs take it, with at least so many rows and some empty sequences at the end. */
export function packedInputs(
  model: EncoderDecoderModel,
  stack: 'encoder' | 'decoder',
  given: PackedBatch,
  rows: number,
  sequences: number = sequencesFor(given.batch),
) {
  const { batch, tokens, columns, offsets, longest } = given
  const { firstPosition } = model.config
  const filled = (values: Int32Array, size: number, value = 0): Int32Array => {
    const all = new Int32Array(size).fill(value)
    all.set(values)
    return all
  }
  const isApart = batch === 1 && seesHoles(model, given)
  const buckets = isApart ? model.bucketsOf(stack, columns) : model.bucketsFor(stack, longest)
  const positions = columns.map((column) => firstPosition + column)
  return {
    tokens: filled(tokens, rows),
    positions: filled(positions, rows),
    offsets: filled(offsets, sequences + 1, tokens.length),
    ...(buckets && { buckets }),
  }
}
