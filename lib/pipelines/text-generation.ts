import { ArgumentError, checkInteger, describe } from '../errors.ts'
import { AutoModelForCausalLM, type CausalLM } from '../generate/causal-lm.ts'
import { generate } from '../generate/generate.ts'
import { Sampler, samplingOptions, type SamplingOptions } from '../generate/sampler.ts'
import { StopStrings } from '../generate/stop-strings.ts'
import { readGenerationConfig, type GenerationConfig } from '../models/generation-config.ts'
import { checkCacheFormat, type CacheFormat } from '../ops/cache.ts'
import type { ChatMessage, ChatTemplateOptions } from '../text/chat-template.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Parts, type Task } from './task.ts'

/** A text to be continued, or a conversation that the model answers. */
export type Prompt = string | readonly ChatMessage[]

export interface TextGenerationOptions
  extends
    CallOptions,
    SamplingOptions,
    Pick<ChatTemplateOptions, 'tools' | 'documents' | 'chatTemplate' | 'variables'> {
  /** Tokens to make at most; 256 unless given. */
  maxNewTokens?: number
  /** Generation ends before one of these; also before the tokens that end a text of this model. */
  stop?: string | readonly string[]
  /** What the key-value cache stores; f32 unless given. */
  cacheDtype?: CacheFormat
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
const defaults = {
  ...samplingOptions,
  maxNewTokens: 'any',
  stop: 'any',
  cacheDtype: 'any',
  tools: 'any',
  documents: 'any',
  chatTemplate: 'any',
  variables: 'any',
} as const

type Ending = Omit<GeneratedText, 'generatedText'>

/** What follows a text, or answers a conversation. */
export const textGeneration: Task<CausalLM, GenerateText> = {
  open: (model, options) => AutoModelForCausalLM.fromPretrained(model, options),
  defaults,
  make: async (parts, given) => {
    const generation = await readGenerationConfig(task, parts.path)
    const merge = (options: TextGenerationOptions | undefined): TextGenerationOptions => {
      const merged = mergeOptions(task, given, options, { ...defaults, signal: 'signal' })
      checkInteger(task, 'maxNewTokens', merged.maxNewTokens ?? 0, 0)
      checkCacheFormat(task, 'cacheDtype', merged.cacheDtype ?? 'f32')
      // Throws for what none can be made of.
      void new Sampler(samplingOf({}, merged))
      stopStrings(merged.stop)
      return merged
    }
    merge({})

    async function call(input: unknown, options?: TextGenerationOptions): Promise<GeneratedText | GeneratedText[]> {
      const merged = merge(options)
      const { inputs, isSingle } = inputsOf(task, 'a text or a conversation', isPrompt, input)
      const made: GeneratedText[] = []
      for (const prompt of inputs) {
        let generatedText = ''
        const steps = pieces({ ...parts, generation }, prompt, merged)
        let step = await steps.next()
        for (; !step.done; step = await steps.next()) generatedText += step.value
        made.push({ generatedText, ...step.value })
      }
      return isSingle ? made[0]! : made
    }

    async function* stream(input: unknown, options?: TextGenerationOptions): AsyncGenerator<string, void, undefined> {
      if (!isPrompt(input))
        throw new ArgumentError(`${task}: stream takes one text or conversation, got ${describe(input)}`)
      yield* pieces({ ...parts, generation }, input, merge(options))
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

/** The text that is made, and at last how it ended. */
async function* pieces(
  { model, tokenizer, generation }: Parts<CausalLM> & { generation: GenerationConfig },
  prompt: Prompt,
  options: TextGenerationOptions,
): AsyncGenerator<string, Ending, undefined> {
  const { stop, maxNewTokens = 256, tools, documents, chatTemplate, variables, ...generating } = options
  const stops = new StopStrings(stopStrings(stop))
  const ids = idsOf(tokenizer, prompt, given({ tools, documents, chatTemplate, variables }))
  const { eosTokenId } = tokenizer
  const stopTokens = [
    ...new Set([...generation.eosTokenIds, ...model.eosTokenIds, ...(eosTokenId === undefined ? [] : [eosTokenId])]),
  ]
  const decoder = tokenizer.decoder({ skipSpecialTokens: true })
  let tokens = 0
  const sampling = samplingOf(generation.sampling, generating)
  for await (const id of generate(model.body, ids, { ...generating, ...sampling, maxNewTokens, stopTokens })) {
    tokens++
    const text = stops.push(decoder.push(id))
    if (text) yield text
    if (stops.found !== undefined) return { finishReason: 'stop', tokens }
  }
  const last = stops.push(decoder.flush()) + stops.flush()
  if (last) yield last
  return { finishReason: tokens < maxNewTokens || stops.found !== undefined ? 'stop' : 'length', tokens }
}

/** Without those that are undefined. */
function given<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}

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

/** What is asked for, else what the model's files advise. */
function samplingOf(advised: SamplingOptions, options: SamplingOptions): SamplingOptions {
  const names = Object.keys(samplingOptions) as (keyof SamplingOptions)[]
  return { ...advised, ...given(Object.fromEntries(names.map((name) => [name, options[name]]))) }
}

function stopStrings(stop: unknown): readonly string[] {
  const stops: readonly unknown[] = stop === undefined ? [] : Array.isArray(stop) ? stop : [stop]
  if (!stops.every((one) => isText(one) && one !== ''))
    throw new ArgumentError(`${task}: stop should be a string or an array of strings, got ${describe(stop)}`)
  return stops as string[]
}
