import type { EncoderModel } from './encoder-model.ts'
import type { Head } from './heads.ts'
import type { PackedBatch } from './model-inputs.ts'
import { replacedTokens, type Objective } from './objectives.ts'
import { PackedTaskModel, type Computed, type PackedInputs } from './packed-task-model.ts'

/** An encoder with what stands on it for a task. */
export class EncoderForTask extends PackedTaskModel<EncoderModel, Head> {
  protected compute({ tokens, positions, types, offsets, results }: PackedInputs): Computed {
    const states = this.body.hiddenStates({
      tokens,
      positions,
      offsets,
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
