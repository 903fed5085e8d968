import { Template } from '@huggingface/jinja'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { isObject } from '../files/read-file.ts'
import { renderTemplate } from './jinja-environment.ts'

/** One turn: `{ role: 'user', content: 'Hello' }`, and whatever else the template of the model reads. */
export interface ChatMessage {
  role: string
  content?: unknown
  [field: string]: unknown
}

export interface ChatTemplateOptions {
  /** Ends with what begins the answer of the model; false unless given. */
  addGenerationPrompt?: boolean
  /** Token ids rather than text; true unless given. */
  tokenize?: boolean
  /** Functions that the model may call, as JSON schemas. */
  tools?: readonly Readonly<Record<string, unknown>>[]
  /** What the model should answer from, for templates that know it. */
  documents?: readonly Readonly<Record<string, unknown>>[]
  /** A template of one's own (Jinja), or the name of one of several in the files. */
  chatTemplate?: string
  /** What else the template reads, such as `{ enable_thinking: false }`. */
  variables?: Readonly<Record<string, unknown>>
}

const operation = 'applyChatTemplate'

/** The chat templates that the files of a model hold: one, or several by name. */
export class ChatTemplates {
  readonly #sources: ReadonlyMap<string, string>
  readonly #parsed = new Map<string, Template>()
  readonly #where: string

  /** `value`: a template, or a list of `{ name, template }`. Throws FileError for anything else. */
  constructor(value: unknown, where: string) {
    this.#where = where
    const list: readonly unknown[] =
      typeof value === 'string' ? [{ name: 'default', template: value }] : Array.isArray(value) ? value : []
    const named = list.map((entry) => (isObject(entry) ? ([entry['name'], entry['template']] as const) : []))
    if (
      (value !== undefined && value !== null && typeof value !== 'string' && !Array.isArray(value)) ||
      !named.every(([name, template]) => typeof name === 'string' && typeof template === 'string')
    )
      throw new FileError(
        `${where}: chat_template should be a template or a list of named ones, got ${describe(value)}`,
      )
    this.#sources = new Map(named as [string, string][])
  }

  /** The text of a conversation. Throws ArgumentError for what the template refuses, FileError for one that is damaged. */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions, specialTokens: object): string {
    if (
      !Array.isArray(messages) ||
      messages.length === 0 ||
      !messages.every((message) => isObject(message) && typeof message['role'] === 'string')
    )
      throw new ArgumentError(
        `${operation}: expected messages such as { role: 'user', content: '…' }, got ${describe(messages)}`,
      )
    checkOptions(operation, options, {
      addGenerationPrompt: 'boolean',
      tokenize: 'boolean',
      tools: 'any',
      documents: 'any',
      chatTemplate: 'any',
      variables: 'any',
    })
    for (const name of ['tools', 'documents'] as const)
      if (options[name] !== undefined && !(Array.isArray(options[name]) && options[name].every(isObject)))
        throw new ArgumentError(`${operation}: ${name} should be a list of objects, got ${describe(options[name])}`)
    if (options.variables !== undefined && !isObject(options.variables))
      throw new ArgumentError(`${operation}: variables should be an object, got ${describe(options.variables)}`)
    const source = this.#choose(options)
    const template = this.#parse(source, options.chatTemplate === source)
    const values = plain({
      ...specialTokens,
      messages,
      tools: options.tools ?? null,
      documents: options.documents ?? null,
      add_generation_prompt: options.addGenerationPrompt ?? false,
      ...options.variables,
    })
    try {
      return renderTemplate(template, values)
    } catch (cause) {
      throw new ArgumentError(`${operation}: the chat template refuses this: ${(cause as Error).message}`, { cause })
    }
  }

  #choose({ chatTemplate, tools }: ChatTemplateOptions): string {
    if (chatTemplate !== undefined && typeof chatTemplate !== 'string')
      throw new ArgumentError(
        `${operation}: chatTemplate should be a template or a name, got ${describe(chatTemplate)}`,
      )
    if (chatTemplate !== undefined) return this.#sources.get(chatTemplate) ?? chatTemplate
    const source = (tools && this.#sources.get('tool_use')) ?? this.#sources.get('default')
    if (source === undefined)
      throw new ArgumentError(
        this.#sources.size
          ? `${operation}: choose one with chatTemplate: ${[...this.#sources.keys()].join(', ')}`
          : `${operation}: the files of this tokenizer have no chat template; give one with chatTemplate`,
      )
    return source
  }

  #parse(source: string, isGiven: boolean): Template {
    let template = this.#parsed.get(source)
    if (!template) {
      try {
        // Marks of what is trained on; they do not change the text.
        template = new Template(
          source.replaceAll(/\{%-?\s*(?:end)?generation\s*-?%\}/g, (mark) =>
            mark.replace(/(?:end)?generation/, 'set _ = 0'),
          ),
        )
      } catch (cause) {
        const message = `the chat template is not valid: ${(cause as Error).message}`
        if (isGiven) throw new ArgumentError(`${operation}: ${message}`, { cause })
        throw new FileError(`${operation}: ${this.#where}: ${message}`, { cause })
      }
      if (this.#parsed.size >= 16) this.#parsed.clear()
      this.#parsed.set(source, template)
    }
    return template
  }
}

/** Data only: no functions, no cycles, no shared objects that a template could change. */
function plain(values: object): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(values)) as Record<string, unknown>
  } catch (cause) {
    throw new ArgumentError(
      `${operation}: messages and variables should be data as in JSON: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
}
