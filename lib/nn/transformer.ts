import { checkInteger, checkOptions } from '../errors.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { TransformerDecoder } from './decoder.ts'
import type { Dropping } from './dropout.ts'
import { layerOptions, TransformerEncoder, type TransformerLayerOptions } from './encoder.ts'
import { generatorOf } from './init.ts'
import { maxLayers, Module } from './module.ts'

/** The options of torch.nn.Transformer, under this package's names. */
export interface TransformerOptions extends TransformerLayerOptions {
  /** 6 unless said. */
  encoderLayers?: number
  decoderLayers?: number
}

export interface TransformerForwardOptions extends Dropping {
  /** i32 [batch]: how much of each source counts. */
  sourceLengths?: Tensor
}

/**
 * The encoder-decoder Transformer (Vaswani et al. 2017): post-norm unless `normFirst`, with a norm after each stack as
 * torch.nn.Transformer has it. Embeddings and the output projection are up to the caller.
 */
export class Transformer extends Module {
  readonly encoder: TransformerEncoder
  readonly decoder: TransformerDecoder

  constructor(options: TransformerOptions) {
    super()
    checkOptions('Transformer', options, { ...layerOptions, encoderLayers: 'any', decoderLayers: 'any' })
    const { encoderLayers = 6, decoderLayers = 6, ...rest } = options
    for (const [name, layers] of Object.entries({ encoderLayers, decoderLayers }))
      checkInteger('Transformer', name, layers, 0, maxLayers)
    const layer = { ...rest, finalNorm: true, random: generatorOf('Transformer', options) }
    this.encoder = new TransformerEncoder({ ...layer, layers: encoderLayers })
    this.decoder = new TransformerDecoder({ ...layer, layers: decoderLayers })
  }

  /** source [batch, sourceLength, dim], target [batch, targetLength, dim] → [batch, targetLength, dim]; the target is causal. */
  forward(source: Tensor, target: Tensor, options: TransformerForwardOptions = {}): Tensor {
    checkOptions('Transformer', options, ['sourceLengths', 'dropout'])
    const { sourceLengths, dropout } = options
    const memory = this.encoder.forward(source, { keyLengths: sourceLengths, dropout })
    return this.decoder.forward(target, memory, { memoryKeyLengths: sourceLengths, dropout })
  }
}
