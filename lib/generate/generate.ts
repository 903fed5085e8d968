import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { checkModel, type DecoderModel } from '../models/decoder-model.ts'
import { checkCacheFormat, type CacheFormat } from '../ops/cache.ts'
import { checkAttached, dtypeOf } from '../tensor/dtype.ts'
import { continueRows } from './continue-rows.ts'
import { Decodings } from './decodings.ts'
import { Sampler, samplingOptions, type SamplingOptions } from './sampler.ts'

export interface GenerateOptions extends SamplingOptions {
  /** How many tokens to make at most; 100 unless said. */
  maxNewTokens?: number
  /** Generation ends before one of these. */
  stopTokens?: readonly number[]
  /** What the key-value cache stores; f32 unless said. bf16 takes half of its memory, int8 about 27 %, both round. */
  cacheDtype?: CacheFormat
  signal?: AbortSignal
}

/**
 * Tokens that continue a prompt, one by one, as soon as each is known. The prompt is not repeated.
 *
 * A sequence may grow beyond the model's context: when the cache is full, the newer half of the context is read again
 * and the rest forgotten. Throws ArgumentError for an empty prompt and for ids outside the vocabulary.
 */
export async function* generate(
  model: DecoderModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<number, void, undefined> {
  checkModel('generate', model)
  checkOptions('generate', options, {
    ...samplingOptions,
    maxNewTokens: 'any',
    stopTokens: 'any',
    cacheDtype: 'any',
    signal: 'signal',
  })
  const { maxNewTokens = 100, stopTokens = [], cacheDtype = 'f32', signal, ...sampling } = options
  checkInteger('generate', 'maxNewTokens', maxNewTokens, 0)
  checkCacheFormat('generate', 'cacheDtype', cacheDtype)
  const sequence = checkIds('prompt', prompt)
  if (sequence.length === 0)
    throw new ArgumentError(
      'generate: the prompt has no tokens; start with the beginning-of-sequence token or a line break',
    )
  checkVocabulary(sequence, model.config.vocabSize)
  const stops = new Set(checkIds('stopTokens', stopTokens))
  using decodings = new Decodings(model)
  const samplers = [new Sampler(sampling)]
  for await (const { token } of continueRows(model, decodings, [sequence], {
    maxNewTokens,
    cacheDtype,
    samplers,
    signal,
  })) {
    if (stops.has(token)) return
    yield token
  }
}

/** Throws ArgumentError for ids that the vocabulary does not have. */
export function checkVocabulary(ids: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++)
    if (!(ids[i]! >= 0 && ids[i]! < vocabSize))
      throw new ArgumentError(`generate: token ids should be from 0 to ${vocabSize - 1}, got ${describe(ids[i])}`)
}

function checkIds(name: string, ids: ArrayLike<number>): number[] {
  if (dtypeOf(ids)) checkAttached(`generate: ${name}`, ids as Int32Array)
  else if (!Array.isArray(ids))
    throw new ArgumentError(`generate: ${name} should be an array of token ids, got ${describe(ids)}`)
  return Array.from(ids, (id) => checkInteger('generate', `a token of ${name}`, id, 0))
}
