import type { PackedBatch } from './model-inputs.ts'
import { PackedEncoderDecoder } from './packed-encoder-decoder.ts'
import type { Computed, PackedArrays, PackedInputs } from './packed-task-model.ts'
import { asTable } from './relative-positions.ts'
import type { Watching } from './transformer-layer.ts'

/** The encoder of a full Transformer alone, which understands texts as BERT does: bare, or with classes of tokens (T5). */
export class EncoderOfSeq2Seq extends PackedEncoderDecoder {
  protected compute({ tokens, positions, offsets, results, buckets }: PackedInputs, watching?: Watching): Computed {
    const states = this.body.encode({ tokens, positions, offsets, buckets: asTable(buckets) }, watching)
    const logits = this.head?.forward(states.at(-1)!, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get numLayers(): number {
    return this.body.config.numLayers
  }
  protected override arraysOf(batch: PackedBatch): PackedArrays {
    const buckets = this.bucketsOf('encoder', batch)
    return { ...super.arraysOf(batch), ...(buckets && { buckets }) }
  }
}
