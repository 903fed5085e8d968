import { checkOptions } from '../errors.ts'
import type { RunOptions } from '../graph/compile.ts'
import { EncoderDecoderForTask } from '../models/encoder-decoder-for-task.ts'
import type { LoadOptions } from '../models/load-model.ts'
import type { ModelInputs, PackedBatch } from '../models/model-inputs.ts'
import { loadSeq2Seq } from '../models/pretrained.ts'
import type { SaveOptions } from '../models/save-folder.ts'
import { packSource, refuseHoles } from '../models/seq2seq-inputs.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { searchBeams } from './beam-search.ts'
import { saveGenerationFile, type GenerationFile } from './generation-file.ts'
import {
  optionsOfFile,
  resolveSeq2SeqOptions,
  type ResolvedOptions,
  type Seq2SeqGenerateOptions,
} from './generation-options.ts'
import { openGenerating } from './open-generating.ts'
import { compileSampling, Sampler, samplerInputs } from './sampler.ts'
import { Seq2SeqDecoding, type Seq2SeqSizes } from './seq2seq-decoding.ts'
import { applyRules } from './token-rules.ts'

/** A full Transformer that says its target token by token. */
export class Seq2SeqLM extends EncoderDecoderForTask {
  #file: GenerationFile | undefined
  #advised: Seq2SeqGenerateOptions | undefined
  /** Of the last call, to be used again: its programs are made. */
  #idle: { decoding: Seq2SeqDecoding; logProbabilities: boolean } | undefined

  /** @internal What generation_config.json says. */
  useGeneration(file: GenerationFile | undefined): void {
    this.#file = file
    this.#advised = undefined
  }

  /**
   * The target of each source row, without what it begins with: the likeliest token at each step, or with `numBeams` the
   * best of the likeliest targets, or drawn with a `temperature`. A target ends with one of `stopTokens`, or after
   * `maxNewTokens` (20 unless said or advised). What the model's generation_config.json advises holds unless options say otherwise.
   */
  async generate(
    inputs: Pick<ModelInputs, 'inputIds' | 'attentionMask'>,
    options: Seq2SeqGenerateOptions = {},
  ): Promise<number[][]> {
    checkOptions('generate', inputs, ['inputIds', 'attentionMask'])
    const { config } = this.body
    const { json, path } = this.#file ?? { json: this.json, path: 'config.json' }
    this.#advised ??= optionsOfFile(json, `generate: ${path}`, 'seq2seq')
    const resolved = resolveSeq2SeqOptions(options, this.#advised, { ...config, vocabSize: config.decoderVocabSize })
    const source = packSource('generate', inputs, config)
    refuseHoles('generate', this.body, source)
    const { numBeams, maxNewTokens } = resolved
    if (maxNewTokens === 0) return Array.from({ length: source.batch }, () => [])
    const sizes = {
      sequences: source.batch,
      rowsPerSequence: numBeams,
      sourceTokens: source.tokens.length,
      targetTokens: maxNewTokens,
    }
    const run = options.signal ? { signal: options.signal } : {}
    const logProbabilities = numBeams > 1
    const decoding = this.#take(sizes, logProbabilities)
    try {
      await decoding.begin(source, run)
      const made = logProbabilities
        ? await searchBeams(
            {
              step: async (tokens) => {
                using scores = await decoding.step(Int32Array.from(tokens), run)
                return rowsOf(scores).map((row) => row.slice())
              },
              reorder: (parents) => decoding.reorder(Int32Array.from(parents), run),
            },
            Array.from({ length: source.batch }, () => [resolved.decoderStartTokenId]),
            undefined,
            resolved,
            (scores, tokens, begin) => applyRules(scores, tokens, begin, resolved),
            options.signal,
          )
        : await followLikeliest(decoding, source, resolved, run)
      this.#idle?.decoding.dispose()
      this.#idle = { decoding, logProbabilities }
      return made
    } catch (error) {
      decoding.dispose()
      throw error
    }
  }

  #take(sizes: Seq2SeqSizes, logProbabilities: boolean): Seq2SeqDecoding {
    const idle = this.#idle
    this.#idle = undefined
    if (idle?.logProbabilities === logProbabilities && idle.decoding.serves(sizes)) return idle.decoding
    idle?.decoding.dispose()
    return new Seq2SeqDecoding(this.body, sizes, logProbabilities)
  }

  override async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    await super.savePretrained(folder, options)
    if (this.#file) await saveGenerationFile(folder, this.#file)
  }

  override dispose(): void {
    this.#idle?.decoding.dispose()
    this.#idle = undefined
    super.dispose()
  }
}

/** The rows of [rows, vocabSize], as they may be changed. */
function rowsOf(scores: Tensor): Float32Array[] {
  const [rows, size] = scores.shape as [number, number]
  const data = scores.data() as Float32Array
  return Array.from({ length: rows }, (_, row) => data.subarray(row * size, (row + 1) * size))
}

async function followLikeliest(
  decoding: Seq2SeqDecoding,
  { batch }: PackedBatch,
  options: ResolvedOptions & { decoderStartTokenId: number },
  run: RunOptions,
): Promise<number[][]> {
  const { maxNewTokens, stopTokens, decoderStartTokenId: start } = options
  const { seed } = options.sampling
  const targets = Array.from({ length: batch }, () => [start])
  const samplers = targets.map(
    (_, i) => new Sampler({ ...options.sampling, ...(seed !== undefined && { seed: seed + i }) }),
  )
  const isOpen = targets.map(() => true)
  using drawing = compileSampling()
  for (let made = 0; made < maxNewTokens && isOpen.includes(true); made++) {
    run.signal?.throwIfAborted()
    using scores = await decoding.step(
      Int32Array.from(targets, (target) => target.at(-1)!),
      run,
    )
    rowsOf(scores).forEach((row, i) => isOpen[i] && applyRules(row, targets[i]!, 1, options))
    using tokens = await drawing.run({ logits: scores, ...samplerInputs(samplers, (i) => isOpen[i]!) }, run)
    tokens.data().forEach((token, i) => {
      if (!isOpen[i]) return
      samplers[i]!.step++
      targets[i]!.push(token)
      isOpen[i] = !stopTokens.includes(token)
    })
  }
  return targets.map((target) => target.slice(1))
}

/** T5, BART, mBART, Marian: a source in, a target out. */
export const AutoModelForSeq2SeqLM = {
  /** Opens a folder of Hugging Face's transformers or an id of the Hub, and throws, as `AutoModel.fromPretrained` does. */
  fromPretrained: (model: string, options: LoadOptions = {}): Promise<Seq2SeqLM> => {
    const operation = 'AutoModelForSeq2SeqLM.fromPretrained'
    return openGenerating(operation, model, options, (path) =>
      loadSeq2Seq(operation, path, 'seq2seq-lm', options, Seq2SeqLM),
    )
  },
}
