import type { EncoderDecoderModel } from './encoder-decoder-model.ts'
import type { Head } from './heads.ts'
import { hasHoles, type PackedBatch } from './model-inputs.ts'
import { PackedTaskModel } from './packed-task-model.ts'

/** A full Transformer, or its encoder alone, that says something about one text. */
export abstract class PackedEncoderDecoder extends PackedTaskModel<EncoderDecoderModel, Head> {
  protected get scoresTokens(): boolean {
    return this.head?.isForTokens ?? false
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
  /** The buckets of the positions of one stack, where it has relative ones. */
  protected bucketsOf(stack: 'encoder' | 'decoder', batch: PackedBatch) {
    return this.seesHoles(batch)
      ? this.body.bucketsOf(stack, batch.columns)
      : this.body.bucketsFor(stack, batch.longest)
  }
}
