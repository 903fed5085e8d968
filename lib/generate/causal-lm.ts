import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import { DecoderForTask } from '../models/decoder-for-task.ts'
import type { LoadOptions } from '../models/load-model.ts'
import { packBatch, type ModelInputs } from '../models/model-inputs.ts'
import { loadForTask } from '../models/pretrained.ts'
import { generate, type GenerateOptions } from './generate.ts'
import { samplingOptions } from './sampler.ts'

/** A decoder with its output projection: it predicts the next token. */
export class CausalLM extends DecoderForTask {
  /**
   * Tokens that continue each row, without the row; greedy unless `temperature` says otherwise. A row ends with one of
   * `stopTokens`, those that config.json names unless said, or after `maxNewTokens` (20 unless said). Padding is left
   * out wherever it stands, and positions count what is left, as in transformers.
   */
  async generate(
    inputs: Pick<ModelInputs, 'inputIds' | 'attentionMask'>,
    options: GenerateOptions = {},
  ): Promise<number[][]> {
    checkOptions('generate', options, {
      ...samplingOptions,
      maxNewTokens: 'any',
      stopTokens: 'any',
      cacheDtype: 'any',
      signal: 'signal',
    })
    checkOptions('generate', inputs, ['inputIds', 'attentionMask'])
    const { maxNewTokens = 20, stopTokens = this.eosTokenIds, temperature = 0, ...others } = options
    checkInteger('generate', 'maxNewTokens', maxNewTokens, 0)
    if (!Array.isArray(stopTokens))
      throw new ArgumentError(`generate: stopTokens should be an array of token ids, got ${describe(stopTokens)}`)
    const { batch, tokens, offsets } = packBatch('generate', inputs)
    const made: number[][] = []
    for (let i = 0; i < batch; i++) {
      const row: number[] = []
      const prompt = tokens.subarray(offsets[i], offsets[i + 1])
      for await (const token of generate(this.body, prompt, { ...others, temperature, maxNewTokens })) {
        row.push(token)
        if (stopTokens.includes(token)) break
      }
      made.push(row)
    }
    return made
  }
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
