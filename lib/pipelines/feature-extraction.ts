import { ArgumentError, describe } from '../errors.ts'
import { AutoModelForTextEncoding, type TextModel } from '../models/auto.ts'
import { readEmbeddingRecipe, type EmbeddingRecipe } from '../models/embedding-recipe.ts'
import type { Pooling } from '../models/pooling.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'
import { encodeRows, mapRows, rowOf, type TruncationOptions } from './rows.ts'
import { inputsOf, isText, mergeOptions, type CallOptions, type Task } from './task.ts'

/** One vector of a text: the mean of its tokens' hidden states, the first token's, or the last one's. */
const poolings = { mean: 'mean', cls: 'first', lastToken: 'last' } as const satisfies Record<string, Pooling>

export interface FeatureExtractionOptions extends CallOptions, TruncationOptions {
  /** As sentence-transformers' files beside the model say unless given, else 'mean'. 'none': the vectors of all tokens. */
  pooling?: keyof typeof poolings | 'none'
  /** Vectors have length 1; as the files say unless given, else false. */
  normalize?: boolean
  /** What is put before each text, by its name in the model's files, such as 'query'. */
  promptName?: string
}

type OfTokens = FeatureExtractionOptions & { pooling: 'none' }

/** The tensors belong to the caller. */
export interface ExtractFeatures {
  /** [tokens, hiddenSize] */
  (text: string, options: OfTokens): Promise<Tensor>
  (texts: readonly string[], options: OfTokens): Promise<Tensor[]>
  /** [hiddenSize] */
  (text: string, options?: FeatureExtractionOptions): Promise<Tensor>
  /** [texts, hiddenSize] */
  (texts: readonly string[], options?: FeatureExtractionOptions): Promise<Tensor>
}

const task = 'feature-extraction'
const defaults = { pooling: 'any', normalize: 'boolean', promptName: 'any', truncation: 'boolean' } as const
const known = { ...defaults, signal: 'signal' } as const

/** Texts as vectors, which are close where meanings are. */
export const featureExtraction: Task<TextModel, ExtractFeatures> = {
  open: (model, options) => AutoModelForTextEncoding.fromPretrained(model, options),
  defaults,
  make: async ({ model, tokenizer, path }, given) => {
    const recipe = (await readEmbeddingRecipe(path)) ?? plain
    const advised = Object.entries(poolings).find(([, kind]) => kind === recipe.pooling)![0] as keyof typeof poolings
    const settings = (options: FeatureExtractionOptions | undefined) => {
      const merged = mergeOptions(task, given, options, known)
      const { pooling = advised, normalize = recipe.normalize, truncation = false, signal } = merged
      if (pooling !== 'none' && !Object.hasOwn(poolings, pooling))
        throw new ArgumentError(
          `${task}: pooling should be one of ${Object.keys(poolings).join(', ')}, none, got ${describe(pooling)}`,
        )
      if (pooling === 'none' && merged.normalize)
        throw new ArgumentError(`${task}: normalize is for vectors of texts; pooling 'none' gives those of tokens`)
      return { pooling, normalize, truncation, signal, prompt: promptOf(recipe, merged.promptName) }
    }
    settings({})
    return (async (input: unknown, options?: FeatureExtractionOptions) => {
      const { pooling, normalize, truncation, signal, prompt } = settings(options)
      const { inputs, isSingle } = inputsOf(task, 'a text', isText, input)
      const texts = inputs.map((text) => prompt + (recipe.lowerCase ? text.toLowerCase() : text))
      const { maxLength = Infinity } = recipe
      const rows = await encodeRows({ model, tokenizer }, texts, { maxLength, truncation, signal })
      const size = model.body.config.hiddenSize
      if (pooling === 'none') {
        const tensors = await mapRows(
          (batch, running) => model.run(batch, running),
          rows,
          { signal },
          ({ lastHiddenState }, place, row) => {
            const length = rows.inputIds[row]!.length
            return fromData(rowOf(lastHiddenState, place).slice(0, length * size), { shape: [length, size] })
          },
        )
        return isSingle ? tensors[0] : tensors
      }
      const vectors = new Float32Array(texts.length * size)
      const embed = { pooling: poolings[pooling], normalize }
      await mapRows(
        (batch, running) => model.embed(batch, { ...embed, ...running }),
        rows,
        { signal },
        (pooled, place, row) => vectors.set(rowOf(pooled, place), row * size),
      )
      return fromData(vectors, { shape: isSingle ? [size] : [texts.length, size] })
    }) as ExtractFeatures
  },
}

const plain: EmbeddingRecipe = { pooling: 'mean', normalize: false, lowerCase: false, prompts: {} }

function promptOf({ prompts, defaultPrompt }: EmbeddingRecipe, name: unknown): string {
  const chosen = name ?? defaultPrompt
  if (chosen === undefined) return ''
  if (typeof chosen !== 'string' || !Object.hasOwn(prompts, chosen))
    throw new ArgumentError(
      `${task}: promptName should be one of ${Object.keys(prompts).join(', ') || 'none, as the model has none'}, got ${describe(chosen)}`,
    )
  return prompts[chosen]!
}
