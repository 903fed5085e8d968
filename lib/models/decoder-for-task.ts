import { ArgumentError } from '../errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { DecoderModel } from './decoder-model.ts'
import type { Family, HeadName } from './families/index.ts'
import type { Head } from './heads.ts'
import { hasHoles, type ModelInputs, type PackedBatch } from './model-inputs.ts'
import { nextTokens, type Objective } from './objectives.ts'
import { PackedTaskModel, type Computed, type PackedInputs } from './packed-task-model.ts'
import type { SaveOptions } from './save-folder.ts'

/** Keys of config.json that say nothing about the model, but about its tokens: they are kept. */
const tokenKeys = ['bos_token_id', 'eos_token_id', 'pad_token_id'] as const

/** A decoder with what stands on it for a task; the output projection of a language model is a part of it. */
export class DecoderForTask extends PackedTaskModel<DecoderModel, Head> {
  readonly #tokens: Readonly<Record<string, unknown>>

  constructor(
    family: Family,
    task: HeadName,
    body: DecoderModel,
    head: Head | undefined,
    labels: readonly string[],
    json: Readonly<Record<string, unknown>>,
  ) {
    super(family, task, body, head, labels)
    this.#tokens = Object.fromEntries(tokenKeys.map((key) => [key, json[key] ?? null]))
  }

  /** Tokens that end a sequence, as config.json says. */
  get eosTokenIds(): readonly number[] {
    return [this.#tokens['eos_token_id'] ?? []].flat().filter((id): id is number => typeof id === 'number')
  }

  override async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    const config = { ...this.#tokens, ...options.config }
    await super.savePretrained(folder, { ...options, config })
  }

  protected compute({ tokens, positions, offsets, results, frequencies }: PackedInputs): Computed {
    const states = this.body.hiddenStates({ tokens, positions, offsets, frequencies })
    const last = states.at(-1)!
    if (this.task === 'causal-lm') return { states, logits: this.body.logits(last) }
    const logits = this.head?.forward(last, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get scoresTokens(): boolean {
    return this.task === 'causal-lm' || (this.head?.isForTokens ?? false)
  }
  protected get limits(): { context: number; typeVocabSize: number } {
    return { context: this.body.config.context, typeVocabSize: 0 }
  }
  protected override get objective(): Objective {
    return this.task === 'causal-lm' ? (nextTokens as Objective) : super.objective
  }
  protected override loss(
    objective: Objective,
    computed: Computed,
    targets: Readonly<Record<string, Tensor>>,
    batch: PackedInputs,
  ): Tensor {
    if (this.task !== 'causal-lm') return super.loss(objective, computed, targets, batch)
    return this.body.lossOfHidden(computed.states.at(-1)!, targets['targets']!)
  }

  /** Positions are columns, so windows and rotary positions reach over padding; but windows count tokens. */
  protected override pack(operation: string, inputs: ModelInputs): PackedBatch {
    const batch = super.pack(operation, inputs)
    const { window } = this.body.config
    if (window && batch.width > window && hasHoles(batch))
      throw new ArgumentError(
        `${operation}: attentionMask has padding between tokens, which a model with a window of ${window} tokens can not leave out of rows of ${batch.width}; put the padding at one end`,
      )
    return batch
  }

  protected override arraysOf(batch: PackedBatch) {
    // As transformers has it: those of the longest row count for all rows of a batch.
    const length = batch.columns.reduce((most, column) => Math.max(most, column + 1), 0)
    const frequencies = this.body.rotaryFrequencies(length)
    return { ...super.arraysOf(batch), ...(frequencies && { frequencies }) }
  }
}
