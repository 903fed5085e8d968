import { ArgumentError, checkOptions } from '../errors.ts'
import type { RunOptions } from '../graph/compile.ts'
import type { Module } from '../nn/module.ts'
import { valueAndGrad } from '../ops/gradients.ts'
import { fromData, Tensor } from '../tensor/tensor.ts'
import { packBatch, placeRows, type ModelInputs, type PackedBatch } from './model-inputs.ts'
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
import { TaskModel, type Body } from './task-model.ts'

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
}
type PackedArrays = Record<Exclude<keyof PackedInputs, 'frequencies' | 'buckets'>, Int32Array> & {
  frequencies?: Float32Array
  buckets?: Tensor
}
const rowInputs = ['tokens', 'positions', 'types'] as const

/** What a task model makes of a batch. */
export interface Computed {
  /** Of the embeddings and each layer: [tokens, hiddenSize]. */
  readonly states: readonly Tensor[]
  /** Of each token [tokens, outputs] or each sequence [sequences, outputs]. */
  readonly logits?: Tensor
}

/** A task model that reads one packed batch, and says something about each of its tokens or sequences. */
export abstract class PackedTaskModel<B extends Body = Body, H extends Module = Module> extends TaskModel<B, H> {
  /** What it makes of a batch, by ops. */
  protected abstract compute(inputs: PackedInputs): Computed
  /** Whether its logits are those of each token. */
  protected abstract get scoresTokens(): boolean
  /** Most tokens of a row, and kinds of segments. */
  protected abstract get limits(): { context: number; typeVocabSize: number }
  /** The positions of tokens, as the model counts them. */
  protected positionsOf({ columns }: PackedBatch): Int32Array {
    return columns
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
    checkOptions('run', options, { signal: 'signal', outputHiddenStates: 'boolean' })
    const { signal, outputHiddenStates = false } = options
    const batch = this.pack('run', inputs)
    const computed = await this.#forwardPrograms(outputHiddenStates).run(
      batch.tokens.length,
      this.arraysOf(batch),
      signal ? { signal } : {},
    )
    const made: Tensor[] = []
    const place = (rows: Tensor, perToken: boolean): Tensor => {
      made.push((perToken ? spread : firstRows)(batch, rows))
      return made.at(-1)!
    }
    try {
      const states = computed.states.map((rows) => place(rows, true))
      const logits = computed.logits && place(computed.logits, this.scoresTokens)
      return {
        lastHiddenState: states.at(-1)!,
        ...(outputHiddenStates && { hiddenStates: states }),
        ...(logits && { logits }),
        [Symbol.dispose]: () => made.forEach((tensor) => tensor.dispose()),
      }
    } catch (error) {
      for (const tensor of made) tensor.dispose()
      throw error
    } finally {
      for (const tensor of [...computed.states, ...(computed.logits ? [computed.logits] : [])]) tensor.dispose()
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
    if (this.task === 'none') throw new ArgumentError(`${operation}: a bare model has no loss; open it with a task`)
    const { objective } = this
    const given = splitLabels(operation, inputs, objective.labels)
    const batch = this.pack(operation, given.inputs)
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
    if (this.task === 'none') throw new ArgumentError('logits: a bare model has none; open it with a task')
    const batch = this.pack('logits', inputs)
    using rows = await this.programs('logits', (given: PackedInputs) => this.compute(given).logits!, rowInputs).run(
      batch.tokens.length,
      this.arraysOf(batch),
      options,
    )
    return (this.scoresTokens ? spread : firstRows)(batch, rows)
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
    using rows = await this.programs(`embed ${pooling} ${normalize}`, build, rowInputs).run(
      batch.tokens.length,
      this.arraysOf(batch),
      signal ? { signal } : {},
    )
    return firstRows(batch, rows)
  }

  #forwardPrograms(allStates: boolean): RaggedPrograms<PackedInputs, Computed> {
    const last = (inputs: PackedInputs): Computed => {
      const { states, ...rest } = this.compute(inputs)
      return { states: states.slice(-1), ...rest }
    }
    return allStates
      ? this.programs('all states', (inputs: PackedInputs) => this.compute(inputs), rowInputs)
      : this.programs('last state', last, rowInputs)
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

  /** What programs take of a batch. */
  protected arraysOf(batch: PackedBatch): PackedArrays {
    const { tokens, types, offsets } = batch
    const sequences = sequencesFor(batch.batch)
    const padded = new Int32Array(sequences + 1).fill(tokens.length)
    padded.set(offsets)
    const results = Int32Array.from({ length: sequences + 1 }, (_, i) => i)
    return { tokens, positions: this.positionsOf(batch), types, offsets: padded, results }
  }
}

/** [tokens, size] → [batch, width, size], by where the tokens were given. */
export function spread(batch: PackedBatch, rows: Tensor): Tensor {
  const size = rows.shape[1]!
  const shape = [batch.batch, batch.width, size]
  // Where nothing was left out, the rows are in place already.
  if (batch.tokens.length === batch.batch * batch.width) return new Tensor(shape, rows.dtype, rows.memory('run'))
  return fromData(placeRows(batch, rows.data() as Float32Array, size), { shape })
}

/** [sequences, size] → [batch, size]. */
function firstRows({ batch }: PackedBatch, rows: Tensor): Tensor {
  return fromData((rows.data() as Float32Array).slice(0, batch * rows.shape[1]!), { shape: [batch, rows.shape[1]!] })
}
