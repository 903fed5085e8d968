import { ArgumentError, checkInteger, checkOptions } from '../errors.ts'
import { compile, type RunOptions } from '../graph/compile.ts'
import { checkModel, type DecoderModel } from '../models/decoder-model.ts'
import { checkTask, type Task, type TokenBatch } from './causal-lm.ts'

/** Mean loss over the whole validation split: non-overlapping windows, each token counting once. */
export async function evaluate(
  model: DecoderModel,
  task: Task,
  batchSize = 64,
  options: RunOptions = {},
): Promise<number> {
  checkModel('evaluate', model)
  checkTask('evaluate', task)
  checkInteger('evaluate', 'batchSize', batchSize, 1)
  checkOptions('evaluate', options, { signal: 'signal' })
  if (!task.validation) throw new ArgumentError('evaluate: this task has no validation split')
  using step = compile((batch: TokenBatch) => task.loss(model, batch))
  let sum = 0
  let windows = 0
  for (const { tokens, targets, windows: count } of task.validation(batchSize)) {
    using loss = await step.run({ tokens, targets }, options)
    // A run may have been through before it was to stop; there is nothing to lose by stopping after it.
    options.signal?.throwIfAborted()
    sum += loss.item() * count
    windows += count
  }
  return sum / windows
}
