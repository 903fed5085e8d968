import { ArgumentError, checkInteger, checkNumber, checkOptions, describe, FileError } from '../errors.ts'
import { checkCacheFormat, type CacheFormat } from '../ops/cache.ts'
import type { BeamOptions } from './beam-search.ts'
import { Sampler, samplingOptions, type SamplingOptions } from './sampler.ts'
import type { TokenRules } from './token-rules.ts'

type Json = Readonly<Record<string, unknown>>

/** How rows of tokens are continued. What is not said holds as the model's generation_config.json has it. */
interface SharedOptions extends SamplingOptions, Partial<Omit<TokenRules, 'forcedBosTokenId' | 'forcedEosTokenId'>> {
  forcedEosTokenId?: number | readonly number[]
  /** How many continuations are followed at once; 1: always the likeliest token, or a drawn one. */
  numBeams?: number
  lengthPenalty?: number
  earlyStopping?: BeamOptions['earlyStopping']
  signal?: AbortSignal
}

/** How a decoder's rows are continued. */
export interface CausalGenerateOptions extends SharedOptions {
  /** What the key-value cache stores; f32 unless said. bf16 takes half of its memory, int8 about 27 %, both round. */
  cacheDtype?: CacheFormat
}

/** How targets of an encoder-decoder model are generated. */
export interface Seq2SeqGenerateOptions extends SharedOptions {
  /** What targets begin with; it is not a part of them. */
  decoderStartTokenId?: number
  forcedBosTokenId?: number
}

/** The options of either kind of model. */
export type GenerationOptions = CausalGenerateOptions & Seq2SeqGenerateOptions

/** What is to be done, everything said. */
export interface ResolvedOptions extends TokenRules, BeamOptions {
  maxNewTokens: number
  stopTokens: readonly number[]
  sampling: SamplingOptions
}

const shared = {
  ...samplingOptions,
  maxNewTokens: 'any',
  minNewTokens: 'any',
  stopTokens: 'any',
  forcedEosTokenId: 'any',
  numBeams: 'any',
  lengthPenalty: 'any',
  earlyStopping: 'any',
  repetitionPenalty: 'any',
  noRepeatNgramSize: 'any',
  badWordsIds: 'any',
  signal: 'signal',
} as const satisfies Record<keyof SharedOptions, unknown>

/** The names of the options of each kind of model. */
const known = {
  causal: { ...shared, cacheDtype: 'any' } as const satisfies Record<keyof CausalGenerateOptions, unknown>,
  seq2seq: { ...shared, decoderStartTokenId: 'any', forcedBosTokenId: 'any' } as const satisfies Record<
    keyof Seq2SeqGenerateOptions,
    unknown
  >,
}
export type GenerationKind = keyof typeof known

/** The options by their names in generation_config.json. */
const keys = {
  max_new_tokens: 'maxNewTokens',
  min_new_tokens: 'minNewTokens',
  eos_token_id: 'stopTokens',
  decoder_start_token_id: 'decoderStartTokenId',
  forced_bos_token_id: 'forcedBosTokenId',
  forced_eos_token_id: 'forcedEosTokenId',
  num_beams: 'numBeams',
  length_penalty: 'lengthPenalty',
  early_stopping: 'earlyStopping',
  repetition_penalty: 'repetitionPenalty',
  no_repeat_ngram_size: 'noRepeatNgramSize',
  bad_words_ids: 'badWordsIds',
} as const satisfies Record<string, keyof GenerationOptions>

/** Of drawn tokens, and what transformers takes where nothing is said. */
const samplingKeys = {
  temperature: ['temperature', 1],
  top_k: ['topK', 50],
  top_p: ['topP', 1],
  min_p: ['minP', 0],
} as const

/** Keys that would change what is generated, and the values with which they don't. */
const harmless: Readonly<Record<string, readonly unknown[]>> = {
  num_beam_groups: [1],
  diversity_penalty: [0],
  encoder_no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  num_return_sequences: [1],
  penalty_alpha: [0],
  sequence_bias: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  exponential_decay_length_penalty: [],
  guidance_scale: [1],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [],
  dola_layers: [],
  stop_strings: [],
}

/**
 * What a model's files say of generation: generation_config.json, or config.json of old ones. Lengths that count the
 * prompt (max_length, min_length) are left aside for decoders. Throws ArgumentError for a setting that is not supported,
 * FileError for one that makes no sense; `where` begins their messages, which name the key.
 */
export function optionsOfFile(json: Json, where: string, kind: GenerationKind): GenerationOptions {
  for (const [key, values] of Object.entries(harmless))
    if ((json[key] ?? undefined) !== undefined && !values.includes(json[key]))
      throw new ArgumentError(`${where}: ${key} ${describe(json[key])} is not supported`)
  const options: Record<string, unknown> = {}
  const take = (key: string, name: string, value: unknown): void => {
    if (!Object.hasOwn(known[kind], name)) return
    try {
      checkGenerationOptions({ [name]: value }, kind)
    } catch (cause) {
      throw new FileError(`${where}: ${key}: ${(cause as Error).message}`, { cause })
    }
    options[name] = value
  }
  // Old files count what targets begin with.
  for (const [key, name] of Object.entries({ max_length: 'maxNewTokens', min_length: 'minNewTokens' }))
    if (kind === 'seq2seq' && typeof json[key] === 'number') take(key, name, Math.max(0, json[key] - 1))
  for (const [key, name] of Object.entries(keys)) {
    const value = json[key] ?? undefined
    if (value !== undefined) take(key, name, name === 'stopTokens' ? [value].flat() : value)
  }
  if (json['do_sample'] === true)
    for (const [key, [name, otherwise]] of Object.entries(samplingKeys)) {
      const value = json[key] ?? otherwise
      if (key !== 'top_k' || value !== 0) take(key, name, value)
    }
  return options
}

/** Throws ArgumentError for options that are none. */
export function checkGenerationOptions(options: GenerationOptions, kind: GenerationKind): void {
  checkOptions('generate', options, known[kind])
  const integer = (name: keyof GenerationOptions, least: number): void => {
    if (options[name] !== undefined) checkInteger('generate', name, options[name], least)
  }
  integer('maxNewTokens', 0)
  integer('minNewTokens', 0)
  integer('numBeams', 1)
  integer('noRepeatNgramSize', 0)
  integer('decoderStartTokenId', 0)
  integer('forcedBosTokenId', 0)
  if (options.lengthPenalty !== undefined) checkNumber('generate', 'lengthPenalty', options.lengthPenalty)
  const { repetitionPenalty, earlyStopping, badWordsIds, forcedEosTokenId, cacheDtype } = options
  if (repetitionPenalty !== undefined && !(checkNumber('generate', 'repetitionPenalty', repetitionPenalty, 0) > 0))
    throw new ArgumentError('generate: repetitionPenalty should be above 0, got 0; 1 is none')
  if (earlyStopping !== undefined && typeof earlyStopping !== 'boolean' && earlyStopping !== 'never')
    throw new ArgumentError(`generate: earlyStopping should be true, false or 'never', got ${describe(earlyStopping)}`)
  if (options.stopTokens !== undefined) checkIds('stopTokens', options.stopTokens)
  if (Array.isArray(forcedEosTokenId)) checkIds('forcedEosTokenId', forcedEosTokenId)
  else integer('forcedEosTokenId', 0)
  if (cacheDtype !== undefined) checkCacheFormat('generate', 'cacheDtype', cacheDtype)
  // Throws for what none can be made of.
  void new Sampler(samplingOf(options))
  if (badWordsIds === undefined) return
  if (!Array.isArray(badWordsIds))
    throw new ArgumentError(`generate: badWordsIds should be an array of token sequences, got ${describe(badWordsIds)}`)
  for (const word of badWordsIds) {
    checkIds('badWordsIds', word)
    if (word.length === 0) throw new ArgumentError('generate: a sequence of badWordsIds has no tokens')
  }
}

function checkIds(name: string, ids: unknown): void {
  if (!Array.isArray(ids))
    throw new ArgumentError(`generate: ${name} should be an array of token ids, got ${describe(ids)}`)
  for (const id of ids) checkInteger('generate', `a token of ${name}`, id, 0)
}

/** Those of sampling, if they were given. */
const samplingOf = (options: SamplingOptions): SamplingOptions =>
  defined(
    Object.fromEntries(Object.keys(samplingOptions).map((name) => [name, options[name as keyof SamplingOptions]])),
  )

/** Without those that are undefined. */
export const defined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T

/**
 * `given` over `advised`, greedy where neither says how tokens are drawn. Throws ArgumentError for what makes no sense or
 * does not go together.
 */
export function resolveOptions(
  given: GenerationOptions,
  advised: GenerationOptions,
  kind: GenerationKind,
  { vocabSize }: { vocabSize: number },
): ResolvedOptions {
  checkGenerationOptions(given, kind)
  const said = defined(given)
  const all: GenerationOptions = { temperature: 0, ...advised, ...said }
  if (all.numBeams! > 1 && all.temperature! > 0) {
    if ((said.numBeams ?? 1) > 1 && (said.temperature ?? 0) > 0)
      throw new ArgumentError(
        'generate: beams follow the likeliest continuations, they are not drawn; leave numBeams or temperature out',
      )
    // What was asked for counts, not what the files advise beside it.
    if (said.temperature) all.numBeams = 1
    else all.temperature = 0
  }
  const forcedEosTokenId = all.forcedEosTokenId === undefined ? undefined : [all.forcedEosTokenId].flat()
  for (const id of [all.decoderStartTokenId, all.forcedBosTokenId, ...(forcedEosTokenId ?? [])])
    if (id !== undefined) checkInteger('generate', 'a token id', id, 0, vocabSize - 1)
  return {
    maxNewTokens: all.maxNewTokens ?? 20,
    minNewTokens: all.minNewTokens ?? 0,
    stopTokens: all.stopTokens ?? [],
    forcedBosTokenId: all.forcedBosTokenId,
    forcedEosTokenId,
    numBeams: all.numBeams ?? 1,
    lengthPenalty: all.lengthPenalty ?? 1,
    earlyStopping: all.earlyStopping ?? false,
    repetitionPenalty: all.repetitionPenalty ?? 1,
    noRepeatNgramSize: all.noRepeatNgramSize ?? 0,
    badWordsIds: all.badWordsIds ?? [],
    sampling: samplingOf(all),
  }
}

/** The same for targets, which begin with something. */
export function resolveSeq2SeqOptions(
  given: Seq2SeqGenerateOptions,
  advised: Seq2SeqGenerateOptions,
  { vocabSize, context, startToken }: { vocabSize: number; context: number; startToken: number },
): ResolvedOptions & { decoderStartTokenId: number } {
  const resolved = resolveOptions(given, advised, 'seq2seq', { vocabSize })
  const decoderStartTokenId = given.decoderStartTokenId ?? advised.decoderStartTokenId ?? startToken
  if (decoderStartTokenId < 0)
    throw new ArgumentError(
      'generate: nothing says what targets begin with; give decoderStartTokenId, such as that of the target language',
    )
  if (resolved.maxNewTokens > context)
    throw new ArgumentError(
      `generate: maxNewTokens should be at most ${context}, which the model takes, got ${resolved.maxNewTokens}`,
    )
  return { ...resolved, decoderStartTokenId }
}
