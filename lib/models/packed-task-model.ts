import { ArgumentError, checkOptions } from '../errors.ts'
import type { Inputs, RunOptions } from '../graph/compile.ts'
import type { Module } from '../nn/module.ts'
import { valueAndGrad } from '../ops/gradients.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { packBatch, rowsAlone, type ModelInputs, type PackedBatch } from './model-inputs.ts'
import {
  answers,
  sequenceClasses,
  sequenceScores,
  splitLabels,
  tokenClasses,
  type Objective,
  type TaskLabels,
} from './objectives.ts'
import { checkChoice } from './layer-config.ts'
import { pool, poolings, unitRows, type Pooling, type Sequences } from './pooling.ts'
import { sequencesFor, type RaggedPrograms } from './ragged-programs.ts'
import { firstRows, spread, spreadPairs, watchedLayers, type Part, type Placing } from './place-outputs.ts'
import { TaskModel, type Body } from './task-model.ts'
import type { Watching } from './transformer-layer.ts'

export interface ModelOutputs extends Disposable {
  /** [batch, length, outputs] of each token, or [batch, outputs] of each sequence; absent for a bare model. */
  logits?: Tensor
  /** [batch, length, hiddenSize]; zero where there was padding. */
  lastHiddenState: Tensor
  /** The embeddings and what each layer makes of them, with `outputHiddenStates`. */
  hiddenStates?: readonly Tensor[]
  /** With `outputAttentions`, of each layer asked for: [batch, heads, length, length]; zero where there was padding. */
  attentions?: readonly Tensor[]
}

export interface TaskRunOptions extends RunOptions {
  outputHiddenStates?: boolean
  /**
   * What each head of the layers weighs values by: true for all layers, or their numbers. The other layers stay as they
   * are; sequences are run one after another then.
   */
  outputAttentions?: boolean | readonly number[]
}

export interface EmbedOptions extends RunOptions {
  pooling?: Pooling
  normalize?: boolean
}

/** A packed batch inside a program. */
export interface PackedInputs extends Sequences {
  /** i32 [tokens] */
  tokens: Tensor
  positions: Tensor
  types: Tensor
  /** Of rotary positions, where they depend on how long sequences are. */
  frequencies?: Tensor
  /** Of relative positions: for the longest sequence. */
  buckets?: Tensor
  /** The same for the decoder of an encoder-decoder model. */
  decoderBuckets?: Tensor
  /** What hides keys in place of windows, where places do not tell distances. */
  windowBias?: Tensor
}
type Optional = 'frequencies' | 'buckets' | 'decoderBuckets' | 'windowBias'
export type PackedArrays = Record<Exclude<keyof PackedInputs, Optional>, Int32Array> & {
  [Name in Optional]?: Inputs<Tensor>
}
const rowInputs = ['tokens', 'positions', 'types'] as const

/** What a task model makes of a batch. */
export interface Computed {
  /** Of the embeddings and each layer: [tokens, hiddenSize]. */
  readonly states: readonly Tensor[]
  /** Of each token [tokens, outputs] or each sequence [sequences, outputs]. */
  readonly logits?: Tensor
  /** Of the layers that are watched: [1, heads, tokens, tokens]. */
  readonly attentions?: readonly Tensor[]
}

/** A task model that reads one packed batch, and says something about each of its tokens or sequences. */
export abstract class PackedTaskModel<B extends Body = Body, H extends Module = Module> extends TaskModel<B, H> {
  /** What it makes of a batch, by ops. */
  protected abstract compute(inputs: PackedInputs, watching?: Watching): Computed
  /** How many layers there are to be watched. */
  protected abstract get numLayers(): number
  /** Whether its logits are those of each token. */
  protected abstract get scoresTokens(): boolean
  /** Most tokens of a row, and kinds of segments. */
  protected abstract get limits(): { context: number; typeVocabSize: number }
  /** The positions of tokens, as the model counts them. */
  protected positionsOf({ columns }: PackedBatch): Int32Array {
    return columns
  }
  protected get isBare(): boolean {
    return this.task === 'none' || this.task === 'encoder'
  }
  /** What it is trained for. */
  protected get objective(): Objective {
    if (this.task === 'question-answering') return answers as Objective
    if (this.scoresTokens) return tokenClasses
    return (this.labels.length === 1 ? sequenceScores : sequenceClasses) as Objective
  }

  /** The loss of what it made of a batch. */
  protected loss(
    objective: Objective,
    { logits }: Computed,
    targets: Readonly<Record<string, Tensor>>,
    batch: PackedInputs,
  ): Tensor {
    return objective.loss(logits!, targets, batch)
  }

  /** Scores and hidden states of sequences of any lengths, off the event loop. The tensors belong to the caller. */
  async run(inputs: ModelInputs, options: TaskRunOptions = {}): Promise<ModelOutputs> {
    checkOptions('run', options, { signal: 'signal', outputHiddenStates: 'boolean', outputAttentions: 'any' })
    const { signal, outputHiddenStates = false } = options
    const layers = watchedLayers('run', options.outputAttentions, this.numLayers)
    const batch = this.pack('run', inputs)
    const name = `run ${outputHiddenStates ? 'all' : 'last'} ${layers.join(' ')}`
    const exact = layers.length > 0
    const programs = this.programs(
      name,
      (given: PackedInputs) => this.#watched(given, outputHiddenStates, layers),
      rowInputs,
      { exact },
    )
    const parts: Part<Computed>[] = []
    const made: Tensor[] = []
    const place = (of: (computed: Computed) => Tensor, how: Placing): Tensor => {
      made.push(
        how(
          batch,
          parts.map(({ batch, computed }) => ({ batch, computed: of(computed) })),
        ),
      )
      return made.at(-1)!
    }
    try {
      for (const part of this.#partsOf(batch, exact))
        parts.push({
          batch: part,
          computed: await programs.run(part.tokens.length, this.arraysOf(part), signal ? { signal } : {}),
        })
      const [{ computed }] = parts as [Part<Computed>]
      const states = computed.states.map((_, i) => place(({ states }) => states[i]!, spread))
      const attentions = layers.map((_, i) => place((each) => each.attentions![i]!, spreadPairs))
      const logits = computed.logits && place((each) => each.logits!, this.scoresTokens ? spread : firstRows)
      return {
        lastHiddenState: states.at(-1)!,
        ...(outputHiddenStates && { hiddenStates: states }),
        ...(attentions.length && { attentions }),
        ...(logits && { logits }),
        [Symbol.dispose]: () => made.forEach((tensor) => tensor.dispose()),
      }
    } catch (error) {
      for (const tensor of made) tensor.dispose()
      throw error
    } finally {
      for (const { computed } of parts)
        for (const tensor of [...computed.states, ...(computed.attentions ?? []), computed.logits]) tensor?.dispose()
    }
  }

  /**
   * The loss as transformers has it, over tokens that are no padding: the mean cross-entropy of `labels` (squared error
   * where the model gives one number for a sequence), or of `startPositions` and `endPositions` for question answering;
   * and its gradients by checkpoint name, which belong to the caller.
   */
  async lossAndGradients(
    inputs: ModelInputs & TaskLabels,
    options: RunOptions = {},
  ): Promise<{ loss: number; gradients: Map<string, Tensor> }> {
    const operation = 'lossAndGradients'
    checkOptions(operation, options, { signal: 'signal' })
    if (this.isBare) throw new ArgumentError(`${operation}: a bare model has no loss; open it with a task`)
    const { objective } = this
    if (this.problemType === 'multi_label_classification')
      throw new ArgumentError(
        `${operation}: problem_type multi_label_classification is not supported; supported: one label for each sequence, or a number`,
      )
    const given = splitLabels(operation, inputs, objective.labels)
    const batch = this.pack(operation, given.inputs)
    if (batch.batch > 1 && this.seesHoles(batch))
      throw new ArgumentError(
        `${operation}: attentionMask has padding between tokens, which this model can leave out of one row at a time only; put the padding at one end`,
      )
    const targets = objective.targets(operation, given.labels, given.inputs, batch)
    const { value, grads } = await this.#trainingPrograms(objective).run(
      batch.tokens.length,
      { batch: this.arraysOf(batch), targets },
      options,
    )
    const loss = value.item()
    value.dispose()
    return { loss, gradients: grads }
  }

  /** The logits alone, of each token [batch, length, outputs] or of each sequence [batch, outputs]. */
  async logits(inputs: ModelInputs, options: RunOptions = {}): Promise<Tensor> {
    checkOptions('logits', options, { signal: 'signal' })
    if (this.isBare) throw new ArgumentError('logits: a bare model has none; open it with a task')
    const batch = this.pack('logits', inputs)
    const programs = this.programs('logits', (given: PackedInputs) => this.compute(given).logits!, rowInputs)
    return this.#placed(programs, batch, this.scoresTokens ? spread : firstRows, options)
  }

  /**
   * One vector for each sequence [batch, hiddenSize]: the mean of the last hidden states of its tokens unless
   * `pooling` says otherwise, with `normalize` of length 1. A vector depends on the tokens of its own sequence only.
   */
  async embed(inputs: ModelInputs, options: EmbedOptions = {}): Promise<Tensor> {
    checkOptions('embed', options, { pooling: 'any', normalize: 'boolean', signal: 'signal' })
    const { pooling = 'mean', normalize = false, signal } = options
    checkChoice('embed', 'pooling', pooling, poolings)
    const batch = this.pack('embed', inputs)
    const build = (given: PackedInputs): Tensor => {
      const pooled = pool(this.compute(given).states.at(-1)!, pooling, given)
      return normalize ? unitRows(pooled) : pooled
    }
    const programs = this.programs(`embed ${pooling} ${normalize}`, build, rowInputs)
    return this.#placed(programs, batch, firstRows, signal ? { signal } : {})
  }

  /** Whether places of tokens do not tell what the model knows of distances: rows are then run alone. */
  protected abstract seesHoles(batch: PackedBatch): boolean

  #partsOf(batch: PackedBatch, exact: boolean): readonly PackedBatch[] {
    return batch.batch > 1 && (exact || this.seesHoles(batch)) ? rowsAlone(batch) : [batch]
  }

  /** What a program gives for a batch, where it was asked for. */
  async #placed(
    programs: RaggedPrograms<PackedInputs, Tensor>,
    batch: PackedBatch,
    how: Placing,
    options: RunOptions,
  ): Promise<Tensor> {
    const parts: Part<Tensor>[] = []
    try {
      for (const part of this.#partsOf(batch, false))
        parts.push({
          batch: part,
          computed: await programs.run(part.tokens.length, this.arraysOf(part), options),
        })
      return how(batch, parts)
    } finally {
      for (const { computed } of parts) computed.dispose()
    }
  }

  #watched(inputs: PackedInputs, allStates: boolean, layers: readonly number[]): Computed {
    const seen = new Map<number, Tensor>()
    const onAttention = (layer: number) =>
      layers.includes(layer) ? (probabilities: Tensor) => void seen.set(layer, probabilities) : undefined
    const { states, logits } = this.compute(inputs, layers.length ? { onAttention } : {})
    return {
      states: allStates ? states : states.slice(-1),
      ...(logits && { logits }),
      ...(layers.length && { attentions: layers.map((layer) => seen.get(layer)!) }),
    }
  }

  #trainingPrograms(objective: Objective) {
    type Given = { batch: PackedInputs; targets: Record<string, Tensor> }
    const loss = ({ batch, targets }: Given): Tensor => this.loss(objective, this.compute(batch), targets, batch)
    return this.programs(
      `loss ${objective.name}`,
      (given: Given) => valueAndGrad(loss, this.parameters())(given) as { value: Tensor; grads: Map<string, Tensor> },
      [...rowInputs.map((name) => `batch.${name}`), ...objective.rowInputs.map((name) => `targets.${name}`)],
    )
  }

  /** A batch that this model can read. */
  protected pack(operation: string, inputs: ModelInputs): PackedBatch {
    const batch = packBatch(operation, inputs)
    const { context, typeVocabSize } = this.limits
    if (batch.width > context)
      throw new ArgumentError(
        `${operation}: the longest row has ${batch.width} tokens, but the model takes at most ${context}; shorten the text (truncation)`,
      )
    if (inputs.tokenTypeIds !== undefined && !typeVocabSize)
      throw new ArgumentError(`${operation}: this model has no segments; leave tokenTypeIds out`)
    return batch
  }

  /** What programs take of a batch, which may be a part of a whole one. */
  protected arraysOf(batch: PackedBatch): PackedArrays {
    const { tokens, types, offsets } = batch
    const sequences = sequencesFor(batch.batch)
    const padded = new Int32Array(sequences + 1).fill(tokens.length)
    padded.set(offsets)
    const results = Int32Array.from({ length: sequences + 1 }, (_, i) => i)
    return { tokens, positions: this.positionsOf(batch), types, offsets: padded, results }
  }
}
