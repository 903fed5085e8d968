import { ArgumentError } from '../errors.ts'
import type { EncoderModel } from './encoder-model.ts'
import type { Head } from './heads.ts'
import { hasHoles, type ModelInputs, type PackedBatch } from './model-inputs.ts'
import { replacedTokens, type Objective } from './objectives.ts'
import { PackedTaskModel, type Computed, type PackedInputs } from './packed-task-model.ts'

/** An encoder with what stands on it for a task. */
export class EncoderForTask extends PackedTaskModel<EncoderModel, Head> {
  protected compute({ tokens, positions, types, offsets, results, buckets }: PackedInputs): Computed {
    const states = this.body.hiddenStates({
      tokens,
      positions,
      offsets,
      buckets,
      ...(this.body.typeEmbedding && { types }),
    })
    const logits = this.head?.forward(states.at(-1)!, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get scoresTokens(): boolean {
    return this.head?.isForTokens ?? false
  }
  protected get limits(): { context: number; typeVocabSize: number } {
    return this.body.config
  }
  protected override positionsOf(batch: PackedBatch): Int32Array {
    const { paddingToken } = this.body.config
    return paddingToken < 0 ? batch.columns : positionsBehind(paddingToken, batch)
  }
  protected override pack(operation: string, inputs: ModelInputs): PackedBatch {
    const batch = super.pack(operation, inputs)
    if (this.body.countsDistances && hasHoles(batch))
      throw new ArgumentError(
        `${operation}: attentionMask has padding between tokens, which a model whose tokens see distances can not leave out; put the padding at one end`,
      )
    return batch
  }
  protected override arraysOf(batch: PackedBatch) {
    const buckets = this.body.bucketsFor(batch.longest)
    return { ...super.arraysOf(batch), ...(buckets && { buckets }) }
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
