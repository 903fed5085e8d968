import { ArgumentError, checkOptions, describe, type KnownOptions } from '../errors.ts'
import type { LoadOptions } from '../models/load-model.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** What a pipeline is made of. */
export interface Parts<Model> {
  readonly model: Model
  readonly tokenizer: Tokenizer
  /** The folder or file that it was opened from. */
  readonly path: string
}

/** What every call takes. */
export interface CallOptions {
  signal?: AbortSignal
}

/** A model of a task with its tokenizer, as a function; what they hold is given back by `dispose`, `using` or `await using`. */
export type Pipeline<Call, Model> = Call &
  Omit<Parts<Model>, 'path'> &
  Disposable &
  AsyncDisposable & { dispose(): void }

/** How the models of a task are opened, what a call takes, and what it does. */
export interface Task<Model, Call extends (input: never, options?: never) => unknown> {
  readonly open: (model: string, options: LoadOptions) => Promise<Model>
  /** Options of a call that may be given to `pipeline`, for all calls. */
  readonly defaults: KnownOptions
  /** The names of `defaults` have been checked. */
  readonly make: (parts: Parts<Model>, defaults: Readonly<Record<string, unknown>>) => Call | Promise<Call>
}

/** Options of a call over those of the pipeline. Throws ArgumentError for one that is not known. */
export function mergeOptions<Options extends object>(
  task: string,
  defaults: Readonly<Record<string, unknown>>,
  options: Options | undefined,
  known: KnownOptions,
): Options {
  checkOptions(task, options ?? {}, known)
  return { ...defaults, ...options } as Options
}

/** One input or several → all of them, and whether it was one. Throws ArgumentError for anything else. */
export function inputsOf<Input>(
  task: string,
  expected: string,
  isInput: (input: unknown) => input is Input,
  input: unknown,
): { inputs: readonly Input[]; isSingle: boolean } {
  if (isInput(input)) return { inputs: [input], isSingle: true }
  if (!Array.isArray(input))
    throw new ArgumentError(`${task}: expected ${expected} or an array of them, got ${describe(input)}`)
  const wrong = input.findIndex((one) => !isInput(one))
  if (wrong >= 0)
    throw new ArgumentError(`${task}: expected ${expected} at ${wrong} of the array, got ${describe(input[wrong])}`)
  return { inputs: input as Input[], isSingle: false }
}

export const isText = (input: unknown): input is string => typeof input === 'string'
