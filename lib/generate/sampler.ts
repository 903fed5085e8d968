import { checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { compile, type Compiled } from '../graph/compile.ts'
import { sample, type SampleOptions } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface SamplingOptions {
  /** 0 takes the most likely token; below 1 is more careful, above 1 more daring. 1 unless said. */
  temperature?: number
  /** Only the k most likely tokens. */
  topK?: number
  /** Only the most likely tokens that together have this probability (Holtzman et al. 2020). */
  topP?: number
  /** Only tokens with at least this share of the probability of the most likely one (Nguyen et al. 2024). */
  minP?: number
  /** Same seed, same choices. */
  seed?: number
}

export const samplingOptions = { temperature: 'any', topK: 'any', topP: 'any', minP: 'any', seed: 'any' } as const

/**
 * How one sequence chooses its tokens: temperature, then top-k, then top-p, then min-p; ties go to the smaller id. What
 * `ops.sample` takes for a row. Sequences have one each, so that their tokens do not depend on what else is in a batch.
 */
export class Sampler {
  readonly temperature: number
  /** 0: all. */
  readonly topK: number
  readonly topP: number
  readonly minP: number
  /** i32. */
  readonly seed: number
  /** How many tokens were drawn: together with the seed it decides the next one. Whoever draws counts. */
  step = 0

  constructor(options: SamplingOptions = {}) {
    checkOptions('sampler', options, samplingOptions)
    this.temperature = checkNumber('sampler', 'temperature', options.temperature ?? 1, 0, 1e6)
    this.topK = options.topK === undefined ? 0 : Math.min(checkInteger('sampler', 'topK', options.topK, 1), maxTopK)
    this.topP = checkNumber('sampler', 'topP', options.topP ?? 1, 0, 1)
    this.minP = checkNumber('sampler', 'minP', options.minP ?? 0, 0, 1)
    this.seed = intoI32(
      options.seed === undefined ? Math.random() * 2 ** 32 : checkInteger('sampler', 'seed', options.seed, 0),
    )
  }
}

const maxTopK = 2 ** 31 - 1

/** All 53 bits count. */
const intoI32 = (seed: number): number => ((seed % 2 ** 32) | 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)

/** What `ops.sample` takes of each row, besides its logits. Rows that are not drawn take their largest logit, which costs least. */
export const samplerInputs = (
  samplers: readonly Sampler[],
  isDrawn: (row: number) => boolean = () => true,
): Record<'seed' | 'step' | 'topK', Int32Array> & Record<'temperature' | 'topP' | 'minP', Float32Array> => ({
  seed: Int32Array.from(samplers, ({ seed }) => seed),
  step: Int32Array.from(samplers, ({ step }) => step),
  temperature: Float32Array.from(samplers, ({ temperature }, row) => (isDrawn(row) ? temperature : 0)),
  topK: Int32Array.from(samplers, ({ topK }) => topK),
  topP: Float32Array.from(samplers, ({ topP }) => topP),
  minP: Float32Array.from(samplers, ({ minP }) => minP),
})

/** `ops.sample` by itself, for logits that were changed after the step that made them: with what `samplerInputs` gives. */
export const compileSampling = (): Compiled<SampleOptions & { logits: Tensor }, Tensor> =>
  compile(({ logits, ...options }) => sample(logits, options))
