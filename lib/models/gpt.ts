import { checkInteger, checkOptions } from '../errors.ts'
import { Random } from '../tensor/random.ts'
import { DecoderModel } from './decoder-model.ts'

export interface GptOptions {
  vocabSize: number
  layers: number
  heads: number
  hiddenSize: number
  /** Most tokens of a sequence. */
  context: number
  bias?: boolean
  dropout?: number
  /** The output projection is the token embedding; true unless said. */
  tieEmbeddings?: boolean
  /** Same seed, same first values. */
  seed?: number
}

/**
 * A GPT of any size, to be trained from scratch: pre-norm, learned positions, exact GELU, 4·hiddenSize between, first
 * values as GPT-2 (Radford et al. 2019).
 */
export class GPT extends DecoderModel {
  constructor(options: GptOptions) {
    checkOptions('GPT', options, {
      vocabSize: 'any',
      layers: 'any',
      heads: 'any',
      hiddenSize: 'any',
      context: 'any',
      bias: 'boolean',
      dropout: 'any',
      tieEmbeddings: 'boolean',
      seed: 'any',
    })
    const { layers, heads, seed = 0, ...config } = options
    const random = new Random(checkInteger('GPT', 'seed', seed, 0))
    super({ ...config, numLayers: layers, numHeads: heads }, { random })
    this.initializeAsGpt2({ random })
  }
}
