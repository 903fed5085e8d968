import { isObject } from '../files/read-file.ts'
import { Module } from '../nn/module.ts'
import type { Parameter } from '../tensor/tensor.ts'
import {
  nameOf,
  weightEntries,
  withoutPrefix,
  writeConfig,
  type Family,
  type HeadName,
  type WeightEntry,
} from './families/index.ts'
import { RaggedPrograms } from './ragged-programs.ts'
import { saveFolder, type SaveOptions } from './save-folder.ts'

/** What an assembled model is to the tasks that stand on it. */
export type Body = Module & { readonly config: object }

/** Keys of config.json that say nothing about the model, but about its tokens and its labels. */
const keptKeys = [
  ...['bos', 'eos', 'pad', 'cls', 'sep', 'decoder_start'].map((name) => `${name}_token_id`),
  'problem_type',
]

/** A model with what stands on it for a task, as a checkpoint has it: the base of those of every kind of model. */
export abstract class TaskModel<B extends Body = Body, H extends Module = Module> extends Module {
  readonly body: B
  readonly head?: H
  /** Names of the classes, where the task has some. */
  readonly labels: readonly string[]
  readonly #family: Family
  readonly #task: HeadName
  #kept: Readonly<Record<string, unknown>> = {}
  readonly #programs = new Map<string, RaggedPrograms<never, unknown>>()

  constructor(family: Family, task: HeadName, body: B, head?: H, labels: readonly string[] = []) {
    super()
    this.body = body
    if (head) this.head = head
    this.labels = labels
    this.#family = family
    this.#task = task
  }

  /** The task that it was loaded for. */
  get task(): HeadName {
    return this.#task
  }

  /** The tensors of its checkpoint. */
  entries(): WeightEntry[] {
    const head = this.#family.heads?.[this.#task]
    const ofBody = weightEntries(this.#family, this.body)
    return [
      ...(head?.prefix === undefined ? ofBody : ofBody.map((entry) => this.#renamed(entry, head.prefix!))),
      ...(this.head ? weightEntries(this.#family, this.head, head!.weights) : []),
    ]
  }

  #renamed(entry: WeightEntry, prefix: string): WeightEntry {
    const of = (name: string): string => prefix + withoutPrefix(this.#family, name)
    const { name, part } = entry
    return { ...entry, name: of(name), ...(part && { part: { ...part, of: of(part.of) } }) }
  }

  /** All parameters, by the names that the checkpoint has. */
  override parameters(): Map<string, Parameter> {
    return new Map(
      this.entries().flatMap((entry) => (entry.parameter ? [[nameOf(entry), entry.parameter] as const] : [])),
    )
  }

  /** Writes config.json and model.safetensors, as Hugging Face's transformers reads them. */
  async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    const json = this.configJson()
    const told = Object.entries(this.#kept).filter(([key]) => !Object.hasOwn(json, key))
    // What is no object is refused there.
    const isGiven = options.config !== undefined && !isObject(options.config)
    const config = isGiven ? options.config : { ...Object.fromEntries(told), ...options.config }
    await saveFolder('savePretrained', folder, this.entries(), json, { ...options, ...(config && { config }) })
  }

  /** What its labels are, as config.json says: one of several, several at once, or a number; undefined: it does not say. */
  get problemType(): unknown {
    return this.#kept['problem_type'] ?? undefined
  }

  /** @internal Keeps what a config.json says of tokens and labels, which the model itself does not know. */
  keepConfig(json: Readonly<Record<string, unknown>>): this {
    this.#kept = Object.fromEntries(keptKeys.flatMap((key) => (key in json ? [[key, json[key]]] : [])))
    return this
  }

  protected configJson(): Readonly<Record<string, unknown>> {
    const json = writeConfig(this.#family, this.body.config as Required<object>, this.#task)
    if (!this.labels.length) return json
    const ids = this.labels.map((label, id) => [label, id] as const)
    return {
      ...json,
      id2label: Object.fromEntries(ids.map(([label, id]) => [id, label])),
      label2id: Object.fromEntries(ids),
    }
  }

  /**
   * The programs of a function of this model, made when they are asked for first and disposed of with it. `name` tells
   * one function from another; `rowInputs` are the inputs that have one element for each token.
   */
  protected programs<I extends object, O>(
    name: string,
    build: (inputs: I) => O,
    rowInputs: readonly string[],
    options: { exact?: boolean } = {},
  ): RaggedPrograms<I, O> {
    let programs = this.#programs.get(name) as RaggedPrograms<I, O> | undefined
    if (!programs) this.#programs.set(name, (programs = new RaggedPrograms(build, rowInputs, options)) as never)
    return programs
  }

  /** Bytes of planned memory of the programs for the sizes that were used last. */
  get programBytes(): number {
    return [...this.#programs.values()].reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  }

  override dispose(): void {
    for (const programs of this.#programs.values()) programs.dispose()
    this.#programs.clear()
    // It may keep more than parameters.
    this.body.dispose()
    super.dispose()
  }
}
