import { ArgumentError, checkInteger, describe } from '../errors.ts'
import { AutoModelForCausalLM, type CausalLM } from '../generate/causal-lm.ts'
import {
  checkGenerationOptions,
  defined,
  resolveOptions,
  type CausalGenerateOptions,
  type ResolvedOptions,
} from '../generate/generation-options.ts'
import { StopStrings } from '../generate/stop-strings.ts'
import type { ChatMessage, ChatTemplateOptions } from '../text/chat-template.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

/** A text to be continued, or a conversation that the model answers. */
export type Prompt = string | readonly ChatMessage[]

type Generating = Omit<CausalGenerateOptions, 'stopTokens' | 'badWordsIds' | 'forcedEosTokenId' | 'signal'>

/** Where nothing is said about generation, what the model's generation_config.json advises holds. */
export interface TextGenerationOptions
  extends CallOptions, Generating, Pick<ChatTemplateOptions, 'tools' | 'documents' | 'chatTemplate' | 'variables'> {
  /** Tokens to make at most; 256 unless given or advised. */
  maxNewTokens?: number
  /** Generation ends before one of these; also before the tokens that end a text of this model. */
  stop?: string | readonly string[]
}

export interface GeneratedText {
  /** What was generated; the prompt is not repeated. */
  generatedText: string
  /** 'stop': the model or one of `stop` ended it; 'length': it has `maxNewTokens`. */
  finishReason: 'stop' | 'length'
  /** How many tokens were made. */
  tokens: number
}

export interface GenerateText {
  (prompt: Prompt, options?: TextGenerationOptions): Promise<GeneratedText>
  (prompts: readonly Prompt[], options?: TextGenerationOptions): Promise<GeneratedText[]>
  /** The text as it is made, piece by piece. */
  stream(prompt: Prompt, options?: TextGenerationOptions): AsyncGenerator<string, void, undefined>
}

const task = 'text-generation'
const generating = {
  maxNewTokens: 'any',
  minNewTokens: 'any',
  numBeams: 'any',
  lengthPenalty: 'any',
  earlyStopping: 'any',
  repetitionPenalty: 'any',
  noRepeatNgramSize: 'any',
  temperature: 'any',
  topK: 'any',
  topP: 'any',
  minP: 'any',
  seed: 'any',
  cacheDtype: 'any',
} as const satisfies Record<keyof Generating, unknown>
const template = { tools: 'any', documents: 'any', chatTemplate: 'any', variables: 'any' } as const
const defaults = { ...generating, ...template, stop: 'any' } as const

/** What follows a text, or answers a conversation. */
export const textGeneration: Task<CausalLM, GenerateText> = {
  open: (model, options) => AutoModelForCausalLM.fromPretrained(model, options),
  defaults,
  make: ({ model, tokenizer }, given) => {
    const { eosTokenId } = tokenizer
    const ends = [...(model.advised.stopTokens ?? []), ...model.eosTokenIds]
    const stopTokens = [...new Set([...ends, ...(eosTokenId === undefined ? [] : [eosTokenId])])]
    const advised = { maxNewTokens: 256, temperature: 1, ...model.advised, stopTokens }
    const merge = (options: TextGenerationOptions | undefined) => {
      const merged = mergeOptions(task, given, options, { ...defaults, signal: 'signal' })
      checkInteger(task, 'maxNewTokens', merged.maxNewTokens ?? 0, 0)
      const own = pick(merged, generating) as Generating
      checkGenerationOptions(own, 'causal')
      const { signal, cacheDtype } = merged
      return {
        resolved: resolveOptions(own, advised, 'causal', model.body.config),
        running: defined({ signal, cacheDtype }) as Pick<CausalGenerateOptions, 'signal' | 'cacheDtype'>,
        stops: stopStrings(merged.stop),
        template: pick(merged, template) as ChatTemplateOptions,
      }
    }
    merge({})

    async function call(input: unknown, options?: TextGenerationOptions): Promise<GeneratedText | GeneratedText[]> {
      const { resolved, running, stops, template } = merge(options)
      const { inputs, isSingle } = inputsOf(task, 'a text or a conversation', isPrompt, input)
      const rows = inputs.map((prompt) => idsOf(tokenizer, prompt, template))
      const texts = rows.map(() => new Text(tokenizer, resolved, stops))
      if (resolved.numBeams > 1) {
        const made = rows.length ? await model.searchBeams(rows, resolved, running) : []
        for (const [i, ids] of made.entries()) for (const id of ids) if (!texts[i]!.isOver) texts[i]!.push(id)
      } else
        for await (const { row, token, end } of model.continueRows(rows, resolved, running)) {
          texts[row]!.push(token)
          if (texts[row]!.isOver) end()
        }
      const answers = texts.map((text) => text.finish())
      return isSingle ? answers[0]! : answers
    }

    async function* stream(input: unknown, options?: TextGenerationOptions): AsyncGenerator<string, void, undefined> {
      if (!isPrompt(input))
        throw new ArgumentError(`${task}: stream takes one text or conversation, got ${describe(input)}`)
      const { resolved, running, stops, template } = merge(options)
      if (resolved.numBeams > 1)
        throw new ArgumentError(
          `${task}: beams are not known before the end, so there is nothing to stream; numBeams 1`,
        )
      const text = new Text(tokenizer, resolved, stops)
      for await (const { token, end } of model.continueRows([idsOf(tokenizer, input, template)], resolved, running)) {
        const piece = text.push(token)
        if (piece) yield piece
        if (text.isOver) end()
      }
      const last = text.flush()
      if (last) yield last
    }

    return Object.assign(call, { stream }) as GenerateText
  },
}

function isPrompt(input: unknown): input is Prompt {
  return (
    isText(input) ||
    (Array.isArray(input) &&
      input.length > 0 &&
      input.every((turn) => typeof (turn as ChatMessage | null)?.role === 'string'))
  )
}

/** The text that tokens make, up to one that ends it or to a stop string. */
class Text {
  readonly #decoder
  readonly #stops: StopStrings
  readonly #ends: readonly number[]
  readonly #most: number
  #text = ''
  #tokens = 0
  #hasEnded = false

  constructor(tokenizer: Tokenizer, { stopTokens, maxNewTokens }: ResolvedOptions, stops: readonly string[]) {
    this.#decoder = tokenizer.decoder({ skipSpecialTokens: true })
    this.#stops = new StopStrings(stops)
    this.#ends = stopTokens
    this.#most = maxNewTokens
  }

  get isOver(): boolean {
    return this.#hasEnded || this.#stops.found !== undefined
  }

  /** What is certain to be text. */
  push(token: number): string {
    this.#hasEnded = this.#ends.includes(token)
    if (this.#hasEnded) return ''
    this.#tokens++
    return this.#add(this.#stops.push(this.#decoder.push(token)))
  }

  /** What was held back. */
  flush(): string {
    return this.#add(this.#stops.push(this.#decoder.flush()) + this.#stops.flush())
  }

  finish(): GeneratedText {
    this.flush()
    const isWhole = this.isOver || this.#tokens < this.#most
    return { generatedText: this.#text, finishReason: isWhole ? 'stop' : 'length', tokens: this.#tokens }
  }

  #add(piece: string): string {
    this.#text += piece
    return piece
  }
}

/** Those of an object that a table names, if they are there. */
const pick = (from: object, names: object): object =>
  defined(Object.fromEntries(Object.entries(from).filter(([name]) => Object.hasOwn(names, name))))

function idsOf(tokenizer: Tokenizer, prompt: Prompt, template: ChatTemplateOptions): Int32Array {
  if (!isText(prompt))
    return tokenizer.applyChatTemplate(prompt, { addGenerationPrompt: true, ...template, tokenize: true })
  const [name] = Object.keys(template)
  if (name)
    throw new ArgumentError(`${task}: ${name} is for conversations, [{ role, content }], but the prompt is a text`)
  return prompt === '' ? beginning(tokenizer) : tokenizer.encode(prompt)
}

/** Without a beginning-of-sequence token a line break is as good a beginning as there is. */
function beginning(tokenizer: Tokenizer): Int32Array {
  if (tokenizer.bosTokenId !== undefined) return Int32Array.of(tokenizer.bosTokenId)
  try {
    return tokenizer.encode('\n')
  } catch (cause) {
    throw new ArgumentError(
      `${task}: the tokenizer has neither a beginning-of-sequence token nor line breaks to begin with; give a prompt`,
      { cause },
    )
  }
}

function stopStrings(stop: unknown): readonly string[] {
  const stops: readonly unknown[] = stop === undefined ? [] : Array.isArray(stop) ? stop : [stop]
  if (!stops.every((one) => isText(one) && one !== ''))
    throw new ArgumentError(`${task}: stop should be a string or an array of strings, got ${describe(stop)}`)
  return stops as string[]
}
