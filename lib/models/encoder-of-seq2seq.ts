import type { EncoderDecoderModel } from './encoder-decoder-model.ts'
import type { Head } from './heads.ts'
import { hasHoles, type PackedBatch } from './model-inputs.ts'
import { PackedTaskModel, type Computed, type PackedArrays, type PackedInputs } from './packed-task-model.ts'
import { asTable } from './relative-positions.ts'
import type { Watching } from './transformer-layer.ts'

/** The encoder of a full Transformer alone, which understands texts as BERT does: bare, or with classes of tokens (T5). */
export class EncoderOfSeq2Seq extends PackedTaskModel<EncoderDecoderModel, Head> {
  protected compute({ tokens, positions, offsets, results, buckets }: PackedInputs, watching?: Watching): Computed {
    const states = this.body.encode({ tokens, positions, offsets, buckets: asTable(buckets) }, watching)
    const logits = this.head?.forward(states.at(-1)!, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get scoresTokens(): boolean {
    return this.head?.isForTokens ?? false
  }
  protected get numLayers(): number {
    return this.body.config.numLayers
  }
  protected get limits(): { context: number; typeVocabSize: number } {
    return { context: this.body.config.context, typeVocabSize: 0 }
  }
  protected override positionsOf({ columns }: PackedBatch): Int32Array {
    const { firstPosition } = this.body.config
    return columns.map((column) => firstPosition + column)
  }
  protected seesHoles(batch: PackedBatch): boolean {
    return this.body.config.positions === 'relative' && hasHoles(batch)
  }
  protected override arraysOf(batch: PackedBatch): PackedArrays {
    const buckets = this.seesHoles(batch)
      ? this.body.bucketsOf('encoder', batch.columns)
      : this.body.bucketsFor('encoder', batch.longest)
    return { ...super.arraysOf(batch), ...(buckets && { buckets }) }
  }
}
