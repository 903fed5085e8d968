import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import type { RunOptions } from '../graph/compile.ts'
import { DecoderForTask } from '../models/decoder-for-task.ts'
import type { LoadOptions } from '../models/load-model.ts'
import { packBatch, type ModelInputs } from '../models/model-inputs.ts'
import { loadForTask } from '../models/pretrained.ts'
import { Decoding } from './decoding.ts'
import { checkVocabulary, generate, type GenerateOptions } from './generate.ts'
import { Sampler, samplingOptions, type SamplingOptions } from './sampler.ts'

const known = {
  ...samplingOptions,
  maxNewTokens: 'any',
  stopTokens: 'any',
  cacheDtype: 'any',
  signal: 'signal',
} as const

/** A decoder with its output projection: it predicts the next token. */
export class CausalLM extends DecoderForTask {
  /**
   * Tokens that continue each row, without the row; greedy unless `temperature` says otherwise. A row ends with one of
   * `stopTokens`, those that config.json names unless said, or after `maxNewTokens` (20 unless said). Padding is left
   * out wherever it stands, and positions count what is left, as in transformers. Rows are decoded together, and each as
   * it would be alone; row i draws by `seed` + i.
   */
  async generate(
    inputs: Pick<ModelInputs, 'inputIds' | 'attentionMask'>,
    options: GenerateOptions = {},
  ): Promise<number[][]> {
    checkOptions('generate', options, known)
    checkOptions('generate', inputs, ['inputIds', 'attentionMask'])
    const { maxNewTokens = 20, stopTokens = this.eosTokenIds, cacheDtype = 'f32', signal, seed, ...given } = options
    checkInteger('generate', 'maxNewTokens', maxNewTokens, 0)
    if (!Array.isArray(stopTokens))
      throw new ArgumentError(`generate: stopTokens should be an array of token ids, got ${describe(stopTokens)}`)
    const { batch, tokens, offsets, longest } = packBatch('generate', inputs)
    checkVocabulary(tokens, this.body.config.vocabSize)
    const rows = Array.from({ length: batch }, (_, i) => tokens.slice(offsets[i], offsets[i + 1]))
    const samplingOf = (row: number): SamplingOptions => ({
      ...given,
      temperature: given.temperature ?? 0,
      ...(seed !== undefined && { seed: checkInteger('generate', 'seed', seed, 0) + row }),
    })
    const capacity = longest + maxNewTokens
    const running = signal ? { signal } : {}
    // Rows of a model whose rotary positions depend on the longest would turn as that one does.
    if (capacity <= this.body.config.context && this.body.rotaryFrequencies(1) === undefined) {
      using decoding = new Decoding(this.body, { sequences: batch, capacity, cacheDtype })
      const samplers = rows.map((_, i) => new Sampler(samplingOf(i)))
      return await generateTogether(decoding, rows, samplers, { maxNewTokens, stopTokens, running })
    }
    const made: number[][] = []
    for (const [i, row] of rows.entries()) {
      const own: number[] = []
      for await (const token of generate(this.body, row, { ...samplingOf(i), ...running, cacheDtype, maxNewTokens })) {
        own.push(token)
        if (stopTokens.includes(token)) break
      }
      made.push(own)
    }
    return made
  }
}

/** Each step is one run for the rows that have not ended. */
async function generateTogether(
  decoding: Decoding,
  rows: readonly Int32Array[],
  samplers: readonly Sampler[],
  limits: { maxNewTokens: number; stopTokens: readonly number[]; running: RunOptions },
): Promise<number[][]> {
  const { maxNewTokens, stopTokens, running } = limits
  const made = rows.map((): number[] => [])
  let pieces: (ArrayLike<number> | undefined)[] = [...rows]
  for (let n = 0; n < maxNewTokens && pieces.some((piece) => piece !== undefined); n++) {
    running.signal?.throwIfAborted()
    const next = await decoding.sample(pieces, samplers, running)
    pieces = pieces.map((piece, i) => {
      if (piece === undefined) return undefined
      made[i]!.push(next[i]!)
      return stopTokens.includes(next[i]!) ? undefined : [next[i]!]
    })
  }
  return made
}

/** A language model that generates. */
export const AutoModelForCausalLM = {
  /**
   * Opens a folder of Hugging Face's transformers (config.json with model.safetensors, or with its parts and their
   * index), a GGUF file, or an id of the Hub (`resolveModel` tells of both ids and options). Throws as
   * `AutoModel.fromPretrained` does.
   */
  fromPretrained: (model: string, options: LoadOptions = {}): Promise<CausalLM> =>
    loadForTask('AutoModelForCausalLM.fromPretrained', model, 'causal-lm', options, CausalLM),
}
