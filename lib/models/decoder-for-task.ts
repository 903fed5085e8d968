import type { Tensor } from '../tensor/tensor.ts'
import type { DecoderModel } from './decoder-model.ts'
import type { Family, HeadName } from './families/index.ts'
import type { Head } from './heads.ts'
import { hasHoles, type PackedBatch } from './model-inputs.ts'
import { nextTokens, type Objective } from './objectives.ts'
import { PackedTaskModel, type Computed, type PackedArrays, type PackedInputs } from './packed-task-model.ts'
import { asTable, windowBetween } from './relative-positions.ts'
import type { Watching } from './transformer-layer.ts'
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

  protected compute(
    { tokens, positions, offsets, results, frequencies, windowBias }: PackedInputs,
    watching?: Watching,
  ): Computed {
    const given = { tokens, positions, offsets, frequencies, windowBias: asTable(windowBias) }
    const states = this.body.hiddenStates(given, watching)
    const last = states.at(-1)!
    if (this.task === 'causal-lm') return { states, logits: this.body.logits(last) }
    const logits = this.head?.forward(last, this.body.tokenEmbedding.weight, { offsets, results })
    return { states, ...(logits && { logits }) }
  }
  protected get scoresTokens(): boolean {
    return this.task === 'causal-lm' || (this.head?.isForTokens ?? false)
  }
  protected get numLayers(): number {
    return this.body.layers.length
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

  /** Positions are columns, so rotary positions reach over padding; but windows count tokens. */
  protected seesHoles(batch: PackedBatch): boolean {
    const { window } = this.body.config
    return window > 0 && batch.width > window && hasHoles(batch)
  }

  protected override arraysOf(batch: PackedBatch): PackedArrays {
    // As transformers has it: those of the longest row count for all rows of a batch.
    const frequencies = this.body.rotaryFrequencies(batch.reach)
    const windowBias = this.seesHoles(batch)
      ? windowBetween(batch.columns, [this.body.config.window - 1, 0])
      : undefined
    return { ...super.arraysOf(batch), ...(frequencies && { frequencies }), ...(windowBias && { windowBias }) }
  }
}
