import { ArgumentError } from '../errors.ts'
import type { EncoderDecoderModel } from './encoder-decoder-model.ts'
import type { Family, HeadName } from './families/index.ts'
import type { Head } from './heads.ts'
import type { ModelInputs, PackedBatch } from './model-inputs.ts'
import { PackedEncoderDecoder } from './packed-encoder-decoder.ts'
import type { Computed, PackedArrays, PackedInputs } from './packed-task-model.ts'
import { asTable } from './relative-positions.ts'
import { shiftRight } from './seq2seq-inputs.ts'
import type { Watching } from './transformer-layer.ts'

/**
 * A full Transformer that says something about one text, which its decoder reads too, moved to the right by one: of each
 * token, or, by the last one, of all of it (Lewis et al. 2020, section 3).
 */
export class EncoderDecoderWithHead extends PackedEncoderDecoder {
  readonly #eosTokenIds: readonly unknown[]

  constructor(
    family: Family,
    task: HeadName,
    body: EncoderDecoderModel,
    head: Head,
    labels: readonly string[],
    json: Readonly<Record<string, unknown>>,
  ) {
    super(family, task, body, head, labels)
    this.#eosTokenIds = [json['eos_token_id'] ?? 2].flat()
  }

  protected compute(
    { tokens, types, positions, offsets, results, ...tables }: PackedInputs,
    watching?: Watching,
  ): Computed {
    const [buckets, ofDecoder] = [asTable(tables.buckets), asTable(tables.decoderBuckets)]
    const memory = this.body.encode({ tokens, positions, offsets, buckets }).at(-1)!
    const target = { tokens: types, positions, offsets, buckets: ofDecoder }
    const states = this.body.decode(target, { memory, memoryOffsets: offsets }, watching)
    return { states, logits: this.head!.forward(states.at(-1)!, this.body.tokenEmbedding.weight, { offsets, results }) }
  }
  protected get numLayers(): number {
    return this.body.config.numDecoderLayers
  }
  protected override arraysOf(batch: PackedBatch): PackedArrays {
    const [buckets, decoderBuckets] = (['encoder', 'decoder'] as const).map((stack) => this.bucketsOf(stack, batch))
    const arrays = super.arraysOf(batch)
    return { ...arrays, ...(buckets && { buckets }), ...(decoderBuckets && { decoderBuckets }) }
  }

  /** What the decoder reads stands where encoders have the kinds of segments. */
  protected override pack(operation: string, inputs: ModelInputs): PackedBatch {
    const batch = super.pack(operation, inputs)
    const { tokens, offsets } = batch
    const types = new Int32Array(tokens.length)
    for (let i = 0; i < batch.batch; i++) {
      const row = [...tokens.subarray(offsets[i], offsets[i + 1])]
      if (!this.scoresTokens && !this.#eosTokenIds.includes(row.at(-1)))
        throw new ArgumentError(
          `${operation}: row ${i} should end with the token that ends a text (${this.#eosTokenIds.join(', ')}), which speaks for all of it, got ${row.at(-1)}`,
        )
      types.set(shiftRight(operation, row, this.body.config), offsets[i])
    }
    return { ...batch, types }
  }

  override dispose(): void {
    this.body.dispose()
    super.dispose()
  }
}
