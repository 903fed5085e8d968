import { ArgumentError, checkOptions } from '../errors.ts'
import type { RunOptions } from '../graph/compile.ts'
import { valueAndGrad } from '../ops/gradients.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import type { EncoderDecoderModel, PackedTokens } from './encoder-decoder-model.ts'
import type { Family, HeadName } from './families/index.ts'
import { checkRows, rowsAlone } from './model-inputs.ts'
import type { TaskRunOptions } from './packed-task-model.ts'
import { spread, spreadBetween, watchedLayers, type Part } from './place-outputs.ts'
import { asTable } from './relative-positions.ts'
import {
  packedInputs,
  packSeq2Seq,
  refuseHoles,
  seesHoles,
  type Seq2SeqBatch,
  type Seq2SeqInputs,
} from './seq2seq-inputs.ts'
import type { SaveOptions } from './save-folder.ts'
import { TaskModel } from './task-model.ts'

export interface Seq2SeqOutputs extends Disposable {
  /** [batch, targetLength, vocabSize]; absent for a bare model. */
  logits?: Tensor
  /** The decoder's, [batch, targetLength, hiddenSize]; zero where there was padding. */
  lastHiddenState: Tensor
  /** [batch, sourceLength, hiddenSize] */
  encoderLastHiddenState: Tensor
  /** The embeddings and what each layer makes of them, with `outputHiddenStates`. */
  encoderHiddenStates?: readonly Tensor[]
  decoderHiddenStates?: readonly Tensor[]
  /**
   * What layers weigh values by, with `outputAttentions`, of each layer asked for: [batch, heads, length, length] of the
   * encoder and of the decoder, [batch, heads, targetLength, sourceLength] from the decoder to the encoder.
   */
  encoderAttentions?: readonly Tensor[]
  decoderAttentions?: readonly Tensor[]
  crossAttentions?: readonly Tensor[]
}

type Json = Readonly<Record<string, unknown>>

/** Keys of config.json that say nothing about the model, but about its tokens: they are kept. */
const tokenKeys = [
  'bos_token_id',
  'eos_token_id',
  'decoder_start_token_id',
  'forced_bos_token_id',
  'forced_eos_token_id',
] as const

interface Given {
  source: PackedTokens
  target: PackedTokens
}
interface Computed {
  encoder: Tensor[]
  decoder: Tensor[]
  logits?: Tensor
  encoderAttentions: Tensor[]
  decoderAttentions: Tensor[]
  crossAttentions: Tensor[]
}
const attentionNames = ['encoderAttentions', 'decoderAttentions', 'crossAttentions'] as const
const rowInputs = ['source.tokens', 'source.positions', 'target.tokens', 'target.positions']

/** A full Transformer, bare or with a vocabulary to say its target in. */
export class EncoderDecoderForTask extends TaskModel<EncoderDecoderModel> {
  protected readonly json: Json

  constructor(family: Family, task: HeadName, body: EncoderDecoderModel, json: Readonly<Record<string, unknown>> = {}) {
    super(family, task, body)
    this.json = json
  }

  override async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    const told = tokenKeys.filter((key) => this.json[key] !== undefined && !(key in this.configJson()))
    const config = { ...Object.fromEntries(told.map((key) => [key, this.json[key]])), ...options.config }
    await super.savePretrained(folder, { ...options, config })
  }

  /** All parameters, by the names that the checkpoint has. What is added to logits is none: no gradient reaches it. */
  override parameters(): Map<string, Parameter> {
    return new Map([...super.parameters()].filter(([, parameter]) => parameter !== this.body.logitsBias))
  }

  /** Scores and hidden states of sequences of any lengths, off the event loop. The tensors belong to the caller. */
  async run(inputs: Seq2SeqInputs, options: TaskRunOptions = {}): Promise<Seq2SeqOutputs> {
    checkOptions('run', options, { signal: 'signal', outputHiddenStates: 'boolean', outputAttentions: 'any' })
    const { signal, outputHiddenStates = false, outputAttentions } = options
    const { numLayers, numDecoderLayers } = this.body.config
    const layers = watchedLayers('run', outputAttentions, Math.max(numLayers, numDecoderLayers))
    const exact = layers.length > 0
    const batch = packSeq2Seq('run', inputs, this.body.config)
    const program = this.programs(
      `run ${outputHiddenStates ? 'all' : 'last'} ${layers.join(' ')}`,
      (given: Given) => this.#compute(given, outputHiddenStates, layers),
      rowInputs,
      { exact },
    )
    const { source, target } = batch
    const isAlone = exact || seesHoles(this.body, source) || seesHoles(this.body, target)
    const targets = rowsAlone(target)
    const pairs = isAlone ? rowsAlone(source).map((row, i) => ({ source: row, target: targets[i]! })) : [batch]
    const parts: Part<Computed>[] = []
    const made: Tensor[] = []
    const keep = (tensor: Tensor): Tensor => {
      made.push(tensor)
      return tensor
    }
    const partsOf = (side: keyof Seq2SeqBatch, of: (computed: Computed) => Tensor): Part<Tensor>[] =>
      parts.map(({ computed }, i) => ({ batch: pairs[i]![side], computed: of(computed) }))
    try {
      for (const pair of pairs) {
        const { rows, given } = this.#inputs(pair)
        parts.push({ batch: pair.source, computed: await program.run(rows, given, signal ? { signal } : {}) })
      }
      const [{ computed }] = parts as [Part<Computed>]
      const states = (stack: 'encoder' | 'decoder', side: keyof Seq2SeqBatch): Tensor[] =>
        computed[stack].map((_, i) =>
          keep(
            spread(
              batch[side],
              partsOf(side, (each) => each[stack][i]!),
            ),
          ),
        )
      const encoder = states('encoder', 'source')
      const decoder = states('decoder', 'target')
      const logits =
        computed.logits &&
        keep(
          spread(
            target,
            partsOf('target', (each) => each.logits!),
          ),
        )
      const attentions = attentionNames.map((name): [string, Tensor[]] => {
        const [to, from] = [
          name === 'encoderAttentions' ? 'source' : 'target',
          name === 'decoderAttentions' ? 'target' : 'source',
        ] as const
        return [
          name,
          computed[name].map((_, i) =>
            keep(
              spreadBetween(
                batch[to],
                batch[from],
                partsOf(to, (each) => each[name][i]!),
                pairs.map((pair) => ({ batch: pair[from] })),
              ),
            ),
          ),
        ]
      })
      return {
        lastHiddenState: decoder.at(-1)!,
        encoderLastHiddenState: encoder.at(-1)!,
        ...(outputHiddenStates && { encoderHiddenStates: encoder, decoderHiddenStates: decoder }),
        ...(exact && Object.fromEntries(attentions)),
        ...(logits && { logits }),
        [Symbol.dispose]: () => made.forEach((tensor) => tensor.dispose()),
      }
    } catch (error) {
      for (const tensor of made) tensor.dispose()
      throw error
    } finally {
      for (const { computed } of parts) {
        const { encoder, decoder, logits } = computed
        for (const tensor of [...encoder, ...decoder, logits, ...attentionNames.flatMap((name) => computed[name])])
          tensor?.dispose()
      }
    }
  }

  /**
   * The mean cross-entropy of `labels` (−100 counting for nothing) and its gradients by checkpoint name, which belong to
   * the caller.
   */
  async lossAndGradients(
    inputs: Seq2SeqInputs & { labels: readonly (readonly number[])[] },
    options: RunOptions = {},
  ): Promise<{ loss: number; gradients: Map<string, Tensor> }> {
    const operation = 'lossAndGradients'
    checkOptions(operation, options, { signal: 'signal' })
    if (this.task === 'none') throw new ArgumentError(`${operation}: a bare model has no loss; open it with a task`)
    const batch = packSeq2Seq(operation, inputs, this.body.config)
    for (const side of [batch.source, batch.target]) refuseHoles(operation, this.body, side)
    const { labels } = inputs
    checkRows(operation, 'labels', labels)
    const { rows, given } = this.#inputs(batch)
    const targets = new Int32Array(rows).fill(-100)
    const { offsets, columns } = batch.target
    for (let i = 0; i < labels.length; i++)
      for (let row = offsets[i]!; row < offsets[i + 1]!; row++) targets[row] = labels[i]![columns[row]!]!
    const program = this.programs(
      'loss',
      (all: Given & { targets: Tensor }) => valueAndGrad((x: typeof all) => this.#loss(x), this.parameters())(all),
      [...rowInputs, 'targets'],
    )
    const { value, grads } = await program.run(rows, { ...given, targets }, options)
    const loss = value.item()
    value.dispose()
    return { loss, gradients: grads }
  }

  override dispose(): void {
    this.body.dispose()
    super.dispose()
  }

  #compute(given: Given, all: boolean, layers: readonly number[]): Computed {
    const { source, target } = withTables(given)
    const wanted = (states: Tensor[]): Tensor[] => (all ? states : states.slice(-1))
    const seen: Record<(typeof attentionNames)[number], Tensor[]> = {
      encoderAttentions: [],
      decoderAttentions: [],
      crossAttentions: [],
    }
    const watch = (name: keyof typeof seen) => (layer: number) =>
      layers.includes(layer) ? (probabilities: Tensor) => void seen[name].push(probabilities) : undefined
    const [own, others] = layers.length
      ? [
          { onAttention: watch('encoderAttentions') },
          { onAttention: watch('decoderAttentions'), onCrossAttention: watch('crossAttentions') },
        ]
      : [{}, {}]
    const encoder = this.body.encode(source, own)
    const decoder = this.body.decode(target, { memory: encoder.at(-1)!, memoryOffsets: source.offsets }, others)
    const logits = this.task === 'none' ? undefined : this.body.logits(decoder.at(-1)!)
    return { encoder: wanted(encoder), decoder: wanted(decoder), ...seen, ...(logits && { logits }) }
  }

  #loss({ targets, ...given }: Given & { targets: Tensor }): Tensor {
    const { source, target } = withTables(given)
    const memory = this.body.encode(source).at(-1)!
    return this.body.loss(this.body.decode(target, { memory, memoryOffsets: source.offsets }).at(-1)!, targets)
  }

  /** Both sides with as many rows as the longer one has: a program has one number of rows. */
  #inputs({ source, target }: Seq2SeqBatch) {
    const rows = Math.max(source.tokens.length, target.tokens.length)
    return {
      rows,
      given: {
        source: packedInputs(this.body, 'encoder', source, rows),
        target: packedInputs(this.body, 'decoder', target, rows),
      },
    }
  }
}

const withTables = ({ source, target }: Given): Given => ({
  source: { ...source, buckets: asTable(source.buckets) },
  target: { ...target, buckets: asTable(target.buckets) },
})
