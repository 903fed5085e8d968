import { ArgumentError, checkOptions, describe, nearest } from '../errors.ts'
import { resolveModel } from '../checkpoint/resolve-model.ts'
import { checkPath } from '../files/file-error.ts'
import { AutoTokenizer } from '../models/auto-tokenizer.ts'
import { loadOptions, resolvingOptions, type LoadOptions } from '../models/load-model.ts'
import { checkLoadDType } from '../models/weight-formats.ts'
import { featureExtraction } from './feature-extraction.ts'
import { fillMask } from './fill-mask.ts'
import { questionAnswering } from './question-answering.ts'
import type { Pipeline, Task } from './task.ts'
import { summarization, text2textGeneration, translation } from './text2text-generation.ts'
import { textClassification } from './text-classification.ts'
import { textGeneration } from './text-generation.ts'
import { textRanking } from './text-ranking.ts'
import { tokenClassification } from './token-classification.ts'

/** Every task by its name. */
const tasks = {
  'text-classification': textClassification,
  'token-classification': tokenClassification,
  'question-answering': questionAnswering,
  'fill-mask': fillMask,
  'feature-extraction': featureExtraction,
  'text-ranking': textRanking,
  'text-generation': textGeneration,
  'text2text-generation': text2textGeneration,
  translation,
  summarization,
} as const

export type TaskName = keyof typeof tasks

/** The pipeline of a task: a function, whose options are in the task's own types. */
export type PipelineOf<Name extends TaskName> =
  (typeof tasks)[Name] extends Task<infer Model, infer Call> ? Pipeline<Call, Model> : never

/**
 * Opens a model for a task: text in, answers out. `model` is a folder with config.json, weights and tokenizer, a `.gguf` file, or an id of
 * the Hugging Face Hub. Options are those of `fromPretrained`, and options of the calls that shall hold for all of them.
 *
 * Throws ArgumentError for an unknown task or option and for a model that does not have the task; FileError and HubError as
 * `fromPretrained`.
 */
export async function pipeline<Name extends TaskName>(
  task: Name,
  model: string,
  options: LoadOptions & Readonly<Record<string, unknown>> = {},
): Promise<PipelineOf<Name>> {
  const names = Object.keys(tasks)
  if (typeof task !== 'string' || !Object.hasOwn(tasks, task)) {
    const near = typeof task === 'string' ? nearest(task, names) : undefined
    throw new ArgumentError(
      `pipeline: unknown task ${describe(task)}; ${near ? `did you mean ${near}? ` : ''}tasks: ${names.join(', ')}`,
    )
  }
  const chosen: Task<Disposable, () => unknown> = tasks[task] as never
  checkOptions(`pipeline: ${task}`, options, { ...loadOptions, ...chosen.defaults } as never)
  const [loading, defaults] = [true, false].map((isLoading) =>
    Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(loadOptions, name) === isLoading)),
  ) as [LoadOptions, Record<string, unknown>]
  const { dtype, trainable = false } = loading
  const resolving = resolvingOptions(loading)
  checkLoadDType('pipeline', dtype)
  const path = await resolveModel(checkPath('pipeline', model), resolving)
  const tokenizer = await AutoTokenizer.fromPretrained(path, resolving)
  const opened = await chosen.open(path, { ...loading, trainable })
  const dispose = (): void => opened[Symbol.dispose]()
  let call: () => unknown
  try {
    call = await chosen.make({ model: opened, tokenizer, path }, defaults)
  } catch (error) {
    dispose()
    throw error
  }
  return Object.assign(call, {
    model: opened,
    tokenizer,
    dispose,
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  }) as unknown as PipelineOf<Name>
}
