import type { EncoderModel } from './encoder-model.ts'
import { windowExtents } from '../ops/attention.ts'
import type { Head } from './heads.ts'
import { hasHoles, type PackedBatch } from './model-inputs.ts'
import { replacedTokens, type Objective } from './objectives.ts'
import { PackedTaskModel, type Computed, type PackedArrays, type PackedInputs } from './packed-task-model.ts'
import { asTable, windowBetween } from './relative-positions.ts'
import type { Watching } from './transformer-layer.ts'

/** An encoder with what stands on it for a task. */
export class EncoderForTask extends PackedTaskModel<EncoderModel, Head> {
  protected compute(
    { tokens, positions, types, offsets, results, buckets, windowBias }: PackedInputs,
    watching?: Watching,
  ): Computed {
    const tables = { buckets: asTable(buckets), windowBias: asTable(windowBias) }
    const states = this.body.hiddenStates(
      { tokens, positions, offsets, ...tables, ...(this.body.typeEmbedding && { types }) },
      watching,
    )
    const logits = this.head?.forward(states.at(-1)!, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get scoresTokens(): boolean {
    return this.head?.isForTokens ?? false
  }
  protected get numLayers(): number {
    return this.body.layers.length
  }
  protected get limits(): { context: number; typeVocabSize: number } {
    return this.body.config
  }
  protected override positionsOf(batch: PackedBatch): Int32Array {
    const { paddingToken } = this.body.config
    return paddingToken < 0 ? batch.columns : positionsBehind(paddingToken, batch)
  }
  protected seesHoles(batch: PackedBatch): boolean {
    return this.body.countsDistances && hasHoles(batch)
  }
  protected override arraysOf(batch: PackedBatch): PackedArrays {
    const arrays = super.arraysOf(batch)
    const isApart = this.seesHoles(batch)
    const buckets = isApart ? this.body.bucketsOf(batch.columns) : this.body.bucketsFor(batch.longest)
    const { window } = this.body.config
    const windowBias = isApart && window ? windowBetween(batch.columns, windowExtents('run', window, false)) : undefined
    return { ...arrays, ...(buckets && { buckets }), ...(windowBias && { windowBias }) }
  }
  protected override get objective(): Objective {
    return this.task === 'replaced-tokens' ? (replacedTokens as Objective) : super.objective
  }
}

/** Positions by counting the tokens of a row, padding left out by its id whether it is masked or not. */
function positionsBehind(padding: number, { rows, batch, offsets, columns }: PackedBatch) {
  const positions = new Int32Array(columns.length)
  for (let i = 0; i < batch; i++) {
    let [column, count] = [0, 0]
    for (let token = offsets[i]!; token < offsets[i + 1]!; token++) {
      for (; column <= columns[token]!; column++) if (rows[i]![column] !== padding) count++
      positions[token] = rows[i]![columns[token]!] === padding ? padding : padding + count
    }
  }
  return positions
}
