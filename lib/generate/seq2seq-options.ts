import { ArgumentError, checkInteger, checkNumber, checkOptions, describe, FileError } from '../errors.ts'
import type { BeamOptions } from './beam-search.ts'
import { samplingOptions, type SamplingOptions } from './sampler.ts'
import type { TokenRules } from './token-rules.ts'

type Json = Readonly<Record<string, unknown>>

/** How targets are generated. What is not said holds as the model's generation_config.json has it. */
export interface Seq2SeqGenerateOptions extends SamplingOptions, Partial<Omit<TokenRules, 'forcedEosTokenId'>> {
  /** What targets begin with; it is not a part of them. */
  decoderStartTokenId?: number
  forcedEosTokenId?: number | readonly number[]
  /** How many targets are followed at once; 1: always the likeliest token. */
  numBeams?: number
  lengthPenalty?: number
  earlyStopping?: BeamOptions['earlyStopping']
  signal?: AbortSignal
}

export interface ResolvedSeq2SeqOptions extends TokenRules, BeamOptions {
  maxNewTokens: number
  stopTokens: readonly number[]
  decoderStartTokenId: number
  sampling: SamplingOptions
}

const known = {
  ...samplingOptions,
  maxNewTokens: 'any',
  minNewTokens: 'any',
  stopTokens: 'any',
  decoderStartTokenId: 'any',
  forcedBosTokenId: 'any',
  forcedEosTokenId: 'any',
  numBeams: 'any',
  lengthPenalty: 'any',
  earlyStopping: 'any',
  repetitionPenalty: 'any',
  noRepeatNgramSize: 'any',
  badWordsIds: 'any',
  signal: 'signal',
} as const satisfies Record<keyof Seq2SeqGenerateOptions, unknown>

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
} as const satisfies Record<string, keyof Seq2SeqGenerateOptions>

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
}

/**
 * What a model's files say of generation: generation_config.json, or config.json of old ones. Throws ArgumentError for a
 * setting that is not supported, FileError for one that makes no sense; `where` begins their messages.
 */
export function optionsOfFile(json: Json, where: string): Seq2SeqGenerateOptions {
  for (const [key, values] of Object.entries(harmless))
    if ((json[key] ?? undefined) !== undefined && !values.includes(json[key]))
      throw new ArgumentError(`${where}: ${key} ${describe(json[key])} is not supported`)
  const options: Record<string, unknown> = {}
  // Old files count what targets begin with.
  for (const [key, name] of [
    ['max_length', 'maxNewTokens'],
    ['min_length', 'minNewTokens'],
  ] as const)
    if (typeof json[key] === 'number') options[name] = Math.max(0, json[key] - 1)
  for (const [key, name] of Object.entries(keys)) if ((json[key] ?? undefined) !== undefined) options[name] = json[key]
  if (options['stopTokens'] !== undefined) options['stopTokens'] = [options['stopTokens']].flat()
  if (json['do_sample'] === true) {
    options['temperature'] = json['temperature'] ?? 1
    options['topK'] = json['top_k'] ?? 50
    options['topP'] = json['top_p'] ?? 1
  }
  try {
    checkSeq2SeqOptions(options)
  } catch (cause) {
    throw new FileError(`${where}: ${(cause as Error).message}`, { cause })
  }
  return options
}

/** Throws ArgumentError for options that are none. */
export function checkSeq2SeqOptions(options: Seq2SeqGenerateOptions): void {
  checkOptions('generate', options, known)
  const integer = (name: keyof Seq2SeqGenerateOptions, least: number): void => {
    if (options[name] !== undefined) checkInteger('generate', name, options[name], least)
  }
  integer('maxNewTokens', 0)
  integer('minNewTokens', 0)
  integer('numBeams', 1)
  integer('noRepeatNgramSize', 0)
  integer('decoderStartTokenId', 0)
  integer('forcedBosTokenId', 0)
  if (options.lengthPenalty !== undefined) checkNumber('generate', 'lengthPenalty', options.lengthPenalty)
  const { repetitionPenalty, earlyStopping, badWordsIds, forcedEosTokenId } = options
  if (repetitionPenalty !== undefined && !(checkNumber('generate', 'repetitionPenalty', repetitionPenalty, 0) > 0))
    throw new ArgumentError('generate: repetitionPenalty should be above 0, got 0; 1 is none')
  if (earlyStopping !== undefined && typeof earlyStopping !== 'boolean' && earlyStopping !== 'never')
    throw new ArgumentError(`generate: earlyStopping should be true, false or 'never', got ${describe(earlyStopping)}`)
  if (options.stopTokens !== undefined) checkIds('stopTokens', options.stopTokens)
  if (Array.isArray(forcedEosTokenId)) checkIds('forcedEosTokenId', forcedEosTokenId)
  else integer('forcedEosTokenId', 0)
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

/** `given` over `defaults`. Throws ArgumentError for what makes no sense or does not go together. */
export function resolveSeq2SeqOptions(
  given: Seq2SeqGenerateOptions,
  defaults: Seq2SeqGenerateOptions,
  { vocabSize, context, startToken }: { vocabSize: number; context: number; startToken: number },
): ResolvedSeq2SeqOptions {
  checkSeq2SeqOptions(given)
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const all: Seq2SeqGenerateOptions = { ...defaults, ...set }
  const { temperature = 0, topK, topP, seed, numBeams = 1, forcedEosTokenId: last, forcedBosTokenId } = all
  const decoderStartTokenId = all.decoderStartTokenId ?? startToken
  if (decoderStartTokenId < 0)
    throw new ArgumentError(
      'generate: nothing says what targets begin with; give decoderStartTokenId, such as that of the target language',
    )
  if (numBeams > 1 && temperature > 0)
    throw new ArgumentError(
      'generate: beams follow the likeliest targets, they are not drawn; leave numBeams or temperature out',
    )
  const maxNewTokens = all.maxNewTokens ?? 20
  if (maxNewTokens > context)
    throw new ArgumentError(
      `generate: maxNewTokens should be at most ${context}, which the model takes, got ${maxNewTokens}`,
    )
  const { badWordsIds = [], stopTokens = [] } = all
  const forcedEosTokenId = last === undefined ? undefined : [last].flat()
  const ids = [
    decoderStartTokenId,
    ...(forcedEosTokenId ?? []),
    ...(forcedBosTokenId === undefined ? [] : [forcedBosTokenId]),
  ]
  for (const id of ids) checkInteger('generate', 'a token id', id, 0, vocabSize - 1)
  return {
    maxNewTokens,
    minNewTokens: all.minNewTokens ?? 0,
    stopTokens,
    decoderStartTokenId,
    forcedBosTokenId,
    forcedEosTokenId,
    numBeams,
    lengthPenalty: all.lengthPenalty ?? 1,
    earlyStopping: all.earlyStopping ?? false,
    repetitionPenalty: all.repetitionPenalty ?? 1,
    noRepeatNgramSize: all.noRepeatNgramSize ?? 0,
    badWordsIds,
    sampling: {
      temperature,
      ...(topK && { topK }),
      ...(topP !== undefined && { topP }),
      ...(seed !== undefined && { seed }),
    },
  }
}
