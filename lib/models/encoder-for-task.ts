import type { EncoderModel } from './encoder-model.ts'
import type { Head } from './heads.ts'
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
}
