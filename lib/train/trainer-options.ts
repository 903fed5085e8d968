import { ArgumentError, checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { checkPath } from '../files/file-error.ts'
import { checkPrecision, type Precision } from '../graph/precision.ts'
import { adamW, type OptimizerFactory } from './adamw.ts'
import { checkTask, type Task } from './causal-lm.ts'
import { warmupCosine, type Schedule } from './schedule.ts'

export interface TrainerOptions {
  task: Task
  /** Optimizer steps in all. */
  steps: number
  /** Sequences per step. */
  batchSize: number
  optimizer?: OptimizerFactory
  schedule?: Schedule
  /** Gradients are scaled down to this global norm; 1 unless said, Infinity for never. */
  clipNorm?: number
  /** Evaluate on the validation split after every so many steps; at the end in any case. */
  evaluateEvery?: number
  /** Sequences per batch of an evaluation; 64 unless said. */
  evaluationBatchSize?: number
  /**
   * Of the matrix products of a step, those of attention too, forward and backward: bf16 rounds their operands while it packs them. Parameters,
   * sums, moments and evaluations stay f32. f32 unless said.
   */
  precision?: Precision
  /** Of the batches and dropouts; 0 unless said. */
  seed?: number
  /** Ends the training within 50 ms, or after the step under way if that changes parameters already. */
  signal?: AbortSignal
  /**
   * The folder of the run: `metrics.jsonl` grows with each event, and the model, the task's tokenizer and what resuming
   * needs are saved when the iteration ends by itself or by the signal.
   */
  out?: string
  /** Save after every so many steps as well. */
  saveEvery?: number
}

type Optional = 'signal' | 'evaluateEvery' | 'out' | 'saveEvery'
export type ResolvedTrainerOptions = Required<Omit<TrainerOptions, Optional>> & Pick<TrainerOptions, Optional>

const known = {
  task: 'any',
  steps: 'any',
  batchSize: 'any',
  optimizer: 'function',
  schedule: 'function',
  clipNorm: 'any',
  evaluateEvery: 'any',
  evaluationBatchSize: 'any',
  precision: 'any',
  seed: 'any',
  signal: 'signal',
  out: 'any',
  saveEvery: 'any',
} as const satisfies Record<keyof TrainerOptions, unknown>

export function resolveTrainerOptions(options: TrainerOptions): ResolvedTrainerOptions {
  checkOptions('Trainer', options, known)
  const resolved = {
    optimizer: adamW(),
    schedule: warmupCosine({ peak: 1e-3 }),
    clipNorm: 1,
    evaluationBatchSize: 64,
    precision: 'f32' as const,
    seed: 0,
    ...options,
  }
  checkTask('Trainer', resolved.task)
  checkPrecision('Trainer', resolved.precision)
  for (const name of ['steps', 'batchSize', 'evaluationBatchSize'] as const)
    checkInteger('Trainer', name, resolved[name], 1)
  for (const name of ['evaluateEvery', 'saveEvery'] as const)
    if (resolved[name] !== undefined) checkInteger('Trainer', name, resolved[name], 1)
  if (resolved.out !== undefined) checkPath('Trainer: out', resolved.out)
  else if (resolved.saveEvery !== undefined)
    throw new ArgumentError('Trainer: saveEvery needs `out`, the folder to save in')
  if (resolved.clipNorm !== Infinity) checkNumber('Trainer', 'clipNorm', resolved.clipNorm, 0)
  checkInteger('Trainer', 'seed', resolved.seed, 0, 2 ** 31 - 1)
  return resolved
}
