import { ArgumentError, checkOptions, describe, ShapeError } from '../errors.ts'
import { compile, type Compiled, type RunOptions } from '../graph/compile.ts'
import { Module } from '../nn/module.ts'
import { valueAndGrad } from '../ops/gradients.ts'
import { crossEntropy, reshape } from '../ops/index.ts'
import { fromData, type Parameter, type Tensor } from '../tensor/tensor.ts'
import type { EncoderModel } from './encoder-model.ts'
import { weightEntries, writeConfig, type Family, type HeadName, type WeightEntry } from './families/index.ts'
import type { Head } from './heads.ts'
import { saveFolder, type SaveOptions } from './save-folder.ts'
import { padBatch, unpad, type ModelInputs, type PaddedBatch } from './model-inputs.ts'

export interface ModelOutputs extends Disposable {
  /** [batch, length, outputs] of each token, or [batch, outputs] of each sequence; absent for a bare model. */
  logits?: Tensor
  /** [batch, length, hiddenSize]; zero where there was padding. */
  lastHiddenState: Tensor
  /** The embeddings and what each layer makes of them, with `outputHiddenStates`. */
  hiddenStates?: readonly Tensor[]
}

export interface TaskRunOptions extends RunOptions {
  outputHiddenStates?: boolean
}

interface ProgramInputs {
  tokens: Tensor
  positions: Tensor
  types: Tensor
  keyLengths: Tensor
  first: Tensor
}

/** An encoder with what stands on it for a task, as a checkpoint has it. */
export class EncoderForTask extends Module {
  readonly body: EncoderModel
  readonly head?: Head
  /** Names of the classes, where the task has some. */
  readonly labels: readonly string[]
  readonly #family: Family
  readonly #task: HeadName
  readonly #run: Compiled<ProgramInputs, { states: Tensor[]; logits?: Tensor }>
  readonly #train: Compiled<ProgramInputs & { labels: Tensor }, { value: Tensor; grads: Map<string, Tensor> }>

  constructor(family: Family, task: HeadName, body: EncoderModel, head?: Head, labels: readonly string[] = []) {
    super()
    this.body = body
    if (head) this.head = head
    this.labels = labels
    this.#family = family
    this.#task = task
    this.#run = compile((inputs: ProgramInputs) => this.#forward(inputs))
    this.#train = compile((inputs: ProgramInputs & { labels: Tensor }) =>
      valueAndGrad(
        ({ labels, ...given }: ProgramInputs & { labels: Tensor }) =>
          crossEntropy(this.#forward(given).logits!, labels),
        this.parameters(),
      )(inputs),
    ) as never
  }

  /** The task that it was loaded for. */
  get task(): HeadName {
    return this.#task
  }

  /** The tensors of its checkpoint. */
  entries(): WeightEntry[] {
    return entriesOf(this.#family, this.#task, this.body, this.head)
  }
  /** Writes config.json and model.safetensors, as Hugging Face's transformers reads them. */
  async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    await saveFolder('savePretrained', folder, this.entries(), this.#config(), options)
  }

  #config(): Readonly<Record<string, unknown>> {
    const json = writeConfig(this.#family, this.body.config, this.#task)
    if (!this.labels.length) return json
    const ids = this.labels.map((label, id) => [label, id] as const)
    return {
      ...json,
      id2label: Object.fromEntries(ids.map(([label, id]) => [id, label])),
      label2id: Object.fromEntries(ids),
    }
  }

  /** All parameters, by the names that the checkpoint has. */
  override parameters(): Map<string, Parameter> {
    return new Map(this.entries().flatMap(({ name, parameter }) => (parameter ? [[name, parameter] as const] : [])))
  }

  /** Scores and hidden states of sequences of any lengths, off the event loop. The tensors belong to the caller. */
  async run(inputs: ModelInputs, options: TaskRunOptions = {}): Promise<ModelOutputs> {
    checkOptions('run', options, { signal: 'signal', outputHiddenStates: 'boolean' })
    const padded = this.#pad('run', inputs)
    const { signal, outputHiddenStates } = options
    const { states, logits } = await this.#run.run(this.#inputs(padded), signal ? { signal } : {})
    const made: Tensor[] = []
    try {
      const place = (rows: Tensor): Tensor => {
        const width = rows.shape.at(-1)!
        const data = unpad(padded, rows.data() as Float32Array, width)
        made.push(fromData(data, { shape: [padded.batch, padded.columns, width] }))
        return made.at(-1)!
      }
      const hidden = (outputHiddenStates ? states : states.slice(-1)).map(place)
      const scores = logits && (this.head!.isForTokens ? place(logits) : logits)
      return {
        lastHiddenState: hidden.at(-1)!,
        ...(outputHiddenStates && { hiddenStates: hidden }),
        ...(scores && { logits: scores }),
        [Symbol.dispose]: () => [...hidden, ...(scores ? [scores] : [])].forEach((tensor) => tensor.dispose()),
      }
    } catch (error) {
      for (const tensor of made) tensor.dispose()
      throw error
    } finally {
      for (const tensor of states) tensor.dispose()
      if (logits && this.head!.isForTokens) logits.dispose()
    }
  }

  /**
   * The mean cross-entropy of `labels` (as inputIds for tokens, −100 counting for nothing; a number for each sequence),
   * and its gradients by checkpoint name. They belong to the caller.
   */
  async lossAndGradients(
    inputs: ModelInputs & { labels: readonly number[] | readonly (readonly number[])[] },
    options: RunOptions = {},
  ): Promise<{ loss: number; gradients: Map<string, Tensor> }> {
    checkOptions('lossAndGradients', options, { signal: 'signal' })
    if (!this.head) throw new ArgumentError('lossAndGradients: a bare model has no loss; open it with a task')
    if (this.#task === 'question-answering')
      throw new ArgumentError('lossAndGradients: question-answering is not supported; open it with another task')
    const padded = this.#pad('lossAndGradients', inputs)
    const labels = this.#labels(inputs.labels, inputs, padded)
    const { value, grads } = await this.#train.run({ ...this.#inputs(padded), labels }, options)
    const loss = value.item()
    value.dispose()
    return { loss, gradients: grads }
  }

  #pad(operation: string, inputs: ModelInputs): PaddedBatch {
    const padded = padBatch(operation, inputs)
    const { context, typeVocabSize } = this.body.config
    if (padded.columns > context)
      throw new ArgumentError(
        `${operation}: the longest row has ${padded.columns} tokens, but the model takes at most ${context}; shorten the text (truncation)`,
      )
    if (inputs.tokenTypeIds !== undefined && !typeVocabSize)
      throw new ArgumentError(`${operation}: this model has no segments; leave tokenTypeIds out`)
    return padded
  }

  #inputs({ tokens, positions, types, keyLengths, first }: PaddedBatch) {
    const { firstPosition } = this.body.config
    return { tokens, positions: positions.map((position) => firstPosition + position), types, keyLengths, first }
  }

  #labels(
    given: unknown,
    { inputIds }: ModelInputs,
    { batch, length, keyLengths, positions }: PaddedBatch,
  ): Int32Array {
    if (!this.head!.isForTokens) {
      if (!Array.isArray(given) || given.length !== batch || !given.every(Number.isInteger))
        throw new ShapeError(`lossAndGradients: labels should be ${batch} whole numbers, got ${describe(given)}`)
      return Int32Array.from(given as number[])
    }
    const rows = given as number[][]
    if (!Array.isArray(rows) || rows.length !== batch || rows.some((row, i) => row.length !== inputIds[i]!.length))
      throw new ShapeError('lossAndGradients: labels should have rows as long as those of inputIds')
    const labels = new Int32Array(batch * length).fill(-100)
    for (let i = 0; i < batch; i++)
      for (let j = 0; j < keyLengths[i]!; j++) labels[i * length + j] = rows[i]![positions[i * length + j]!]!
    return labels
  }

  #forward({ tokens, positions, types, keyLengths, first }: ProgramInputs): { states: Tensor[]; logits?: Tensor } {
    const rows = (x: Tensor): Tensor => reshape(x, [keyLengths.shape[0]!, -1])
    const states = this.body.hiddenStates({
      tokens: rows(tokens),
      positions: rows(positions),
      keyLengths,
      ...(this.body.typeEmbedding && { types: rows(types) }),
    })
    const { tokenEmbedding } = this.body
    return this.head ? { states, logits: this.head.forward(states.at(-1)!, tokenEmbedding.weight, first) } : { states }
  }

  override dispose(): void {
    this.#run.dispose()
    this.#train.dispose()
    super.dispose()
  }
}

export const entriesOf = (
  family: Family,
  task: HeadName,
  body: EncoderModel,
  head: Head | undefined,
): WeightEntry[] => [
  ...weightEntries(family, body, family.weights),
  ...(head ? weightEntries(family, head, family.heads![task]!.weights) : []),
]
