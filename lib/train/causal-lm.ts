import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { RandomWindows, sequentialWindows, type WindowBatch } from '../data/token-windows.ts'
import type { DecoderModel } from '../models/decoder-model.ts'
import type { DropoutSource } from '../nn/dropout.ts'
import { reshape } from '../ops/index.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Batches of one run of training; its state can be saved and put back. */
export interface BatchSource {
  next(): WindowBatch
  state: number[]
}

export interface TokenBatch {
  tokens: Tensor
  targets: Tensor
}

/** What a model is trained to do: where its batches come from and what is minimised. */
export interface Task {
  /** Tokens per sequence. */
  readonly context: number
  /** Saved beside the model. */
  readonly tokenizer: Tokenizer | undefined
  batches(options: { batchSize: number; seed: number }): BatchSource
  /** The whole validation split in order; undefined when there is none. */
  readonly validation: ((batchSize: number) => Iterable<WindowBatch>) | undefined
  loss(model: DecoderModel, batch: TokenBatch, dropout?: DropoutSource): Tensor
}

/** Throws ArgumentError unless `task` is one. */
export function checkTask(operation: string, task: Task): void {
  if (typeof Object(task).batches !== 'function' || typeof task.loss !== 'function')
    throw new ArgumentError(`${operation}: task should be a task such as causalLM(…), got ${describe(task)}`)
}

export interface CausalLmOptions {
  /** Token ids to train on. */
  train: Int32Array
  /** Token ids that are held out. */
  validation?: Int32Array
  /** Tokens per sequence. */
  context: number
  /** Saved beside the model, for it to be a folder that generates. */
  tokenizer?: Tokenizer
}

/** Predict each next token: the mean cross-entropy over windows of a text. */
export function causalLM(options: CausalLmOptions): Task {
  checkOptions('causalLM', options, ['train', 'validation', 'context', 'tokenizer'])
  const { train, validation, tokenizer } = options
  const context = checkInteger('causalLM', 'context', options.context, 1)
  for (const [name, tokens] of Object.entries({ train, ...(validation !== undefined && { validation }) }))
    if (!(tokens instanceof Int32Array) || tokens.length <= context)
      throw new ArgumentError(
        `causalLM: ${name} should be an Int32Array of more than ${context} tokens, got ${tokens instanceof Int32Array ? tokens.length : describe(tokens)}; use a longer text or a smaller context`,
      )
  if (tokenizer !== undefined && typeof tokenizer.save !== 'function')
    throw new ArgumentError(`causalLM: tokenizer should be a tokenizer, got ${describe(tokenizer)}`)
  return {
    context,
    tokenizer,
    batches: ({ batchSize, seed }) => new RandomWindows(train, { context, batchSize, seed }),
    validation: validation && ((batchSize) => sequentialWindows(validation, { context, batchSize })),
    loss: (model, { tokens, targets }, dropout) =>
      model.loss({ tokens: reshape(tokens, [-1, context]), targets }, { dropout }),
  }
}
