import { ArgumentError, checkInteger, checkOptions } from '../errors.ts'
import { DecoderForTask } from '../models/decoder-for-task.ts'
import type { LoadOptions } from '../models/load-model.ts'
import { packBatch, type ModelInputs } from '../models/model-inputs.ts'
import { loadForTask } from '../models/pretrained.ts'
import type { SaveOptions } from '../models/save-folder.ts'
import { searchBeams } from './beam-search.ts'
import { continueRows, type RowToken } from './continue-rows.ts'
import type { Decoding } from './decoding.ts'
import { Decodings } from './decodings.ts'
import { checkVocabulary } from './generate.ts'
import { saveGenerationFile, type GenerationFile } from './generation-file.ts'
import {
  optionsOfFile,
  resolveOptions,
  type CausalGenerateOptions,
  type ResolvedOptions,
} from './generation-options.ts'
import { openGenerating } from './open-generating.ts'
import { Sampler } from './sampler.ts'
import { applyRules } from './token-rules.ts'

type Rows = readonly ArrayLike<number>[]

/** A decoder with its output projection: it predicts the next token. */
export class CausalLM extends DecoderForTask {
  readonly #decodings = new Decodings(this.body)
  #file: GenerationFile | undefined
  #advised: CausalGenerateOptions | undefined

  /** @internal What generation_config.json says. */
  useGeneration(file: GenerationFile | undefined): void {
    this.#file = file
    this.#advised = undefined
  }

  /** What the model's generation_config.json advises; without one, that texts end with what config.json names. */
  get advised(): CausalGenerateOptions {
    if (!this.#advised) {
      const told = this.#file ? optionsOfFile(this.#file.json, `generate: ${this.#file.path}`, 'causal') : {}
      this.#advised = { stopTokens: this.eosTokenIds, ...told }
    }
    return this.#advised
  }

  /**
   * Tokens that continue each row, without the row: the likeliest one at each step, or with `numBeams` the best of the
   * likeliest continuations, or drawn with a `temperature`, row i by `seed` + i. A row ends with one of `stopTokens`, or
   * after `maxNewTokens` (20 unless said or advised). What generation_config.json advises holds unless options say otherwise.
   * Padding is left out wherever it stands, and positions count what is left, as in transformers. Rows are decoded
   * together, and each as it would be alone.
   */
  async generate(
    inputs: Pick<ModelInputs, 'inputIds' | 'attentionMask'>,
    options: CausalGenerateOptions = {},
  ): Promise<number[][]> {
    checkOptions('generate', inputs, ['inputIds', 'attentionMask'])
    const resolved = resolveOptions(options, this.advised, 'causal', this.body.config)
    const { batch, tokens, offsets } = packBatch('generate', inputs)
    const rows = Array.from({ length: batch }, (_, i) => tokens.slice(offsets[i], offsets[i + 1]))
    if (resolved.numBeams > 1) return this.searchBeams(rows, resolved, options)
    const made = rows.map((): number[] => [])
    for await (const { row, token, end } of this.continueRows(rows, resolved, options)) {
      made[row]!.push(token)
      if (resolved.stopTokens.includes(token)) end()
    }
    return made
  }

  /** @internal Tokens that continue rows, each as soon as it is known; who reads them ends the rows. */
  continueRows(
    rows: Rows,
    resolved: ResolvedOptions,
    { cacheDtype = 'f32', signal }: CausalGenerateOptions,
  ): AsyncGenerator<RowToken, void, undefined> {
    for (const row of rows) checkVocabulary(row, this.body.config.vocabSize)
    const { maxNewTokens, sampling } = resolved
    const { seed } = sampling
    const samplers = rows.map(
      (_, i) =>
        new Sampler({
          ...sampling,
          ...(seed !== undefined && { seed: checkInteger('generate', 'seed', seed, 0) + i }),
        }),
    )
    return continueRows(this.body, this.#decodings, rows, {
      maxNewTokens,
      cacheDtype,
      samplers,
      rules: resolved,
      signal,
    })
  }

  /** @internal The best continuation of each row. */
  async searchBeams(
    rows: Rows,
    resolved: ResolvedOptions,
    { cacheDtype = 'f32', signal }: CausalGenerateOptions,
  ): Promise<number[][]> {
    const { numBeams, maxNewTokens } = resolved
    for (const row of rows) checkVocabulary(row, this.body.config.vocabSize)
    if (maxNewTokens === 0) return rows.map(() => [])
    // Rows of a model whose rotary positions depend on the longest would turn as that one does.
    if (rows.length > 1 && this.body.rotaryFrequencies(1) !== undefined) {
      const made: number[][] = []
      for (const row of rows)
        made.push(...(await this.searchBeams([row], resolved, { cacheDtype, ...(signal && { signal }) })))
      return made
    }
    const capacity = rows.reduce((most, { length }) => Math.max(most, length), 0) + maxNewTokens
    if (capacity > this.body.config.context)
      throw new ArgumentError(
        `generate: with beams a row and what follows should have at most ${this.body.config.context} tokens, which the model takes, got ${capacity}; take fewer maxNewTokens`,
      )
    const wanted = { sequences: rows.length * numBeams, capacity, cacheDtype }
    const decoding = this.#decodings.take(wanted)
    const run = signal ? { signal } : {}
    try {
      return await searchBeams(
        {
          step: async (tokens) =>
            (await decoding.score(
              tokens.map((token) => [token]),
              run,
            )) as Float32Array[],
          reorder: (parents) => decoding.reorder([...parents]),
        },
        rows.map((row) => Array.from(row)),
        await firstScores(decoding, rows, numBeams, run),
        resolved,
        (scores, tokens, begin) => applyRules(scores, tokens, begin, resolved),
        signal,
      )
    } finally {
      this.#decodings.give(decoding, wanted)
    }
  }

  override async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    await super.savePretrained(folder, options)
    if (this.#file) await saveGenerationFile(folder, this.#file)
  }

  override dispose(): void {
    this.#decodings.dispose()
    super.dispose()
  }
}

/** A prompt is read once, and what its beams remember of it is copied. */
async function firstScores(
  decoding: Decoding,
  rows: Rows,
  numBeams: number,
  run: { signal?: AbortSignal },
): Promise<Float32Array[]> {
  const ofBeams = rows.flatMap((row, i) => Array.from({ length: numBeams }, (_, beam) => ({ row, i, beam })))
  const scores = await decoding.score(
    ofBeams.map(({ row, beam }) => (beam === 0 ? row : undefined)),
    run,
  )
  await decoding.reorder(ofBeams.map(({ i }) => i * numBeams))
  return ofBeams.map(({ i }) => scores[i * numBeams]!.slice())
}

/** A language model that generates. */
export const AutoModelForCausalLM = {
  /**
   * Opens a folder of Hugging Face's transformers (config.json with model.safetensors, or with its parts and their
   * index), a GGUF file, or an id of the Hub (`resolveModel` tells of both ids and options). Throws as
   * `AutoModel.fromPretrained` does.
   */
  fromPretrained: (model: string, options: LoadOptions = {}): Promise<CausalLM> => {
    const operation = 'AutoModelForCausalLM.fromPretrained'
    return openGenerating(operation, model, options, (path) =>
      loadForTask(operation, path, 'causal-lm', options, CausalLM),
    )
  },
}
