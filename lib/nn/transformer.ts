import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
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

/** Stacks that exist already. */
export interface TransformerStacks {
  encoder: TransformerEncoder
  decoder: TransformerDecoder
}

const stacks = { encoder: 'any', decoder: 'any' } as const
const known = { ...layerOptions, encoderLayers: 'any', decoderLayers: 'any', ...stacks } as const

function checkStacks(options: TransformerStacks): TransformerStacks {
  checkOptions('Transformer of stacks that exist', options, stacks)
  const { encoder, decoder } = options
  if (!(encoder instanceof TransformerEncoder) || !(decoder instanceof TransformerDecoder))
    throw new ArgumentError(
      `Transformer: expected a TransformerEncoder and a TransformerDecoder, got ${describe(encoder)} and ${describe(decoder)}`,
    )
  return options
}

function makeStacks(options: TransformerOptions): TransformerStacks {
  const { encoderLayers = 6, decoderLayers = 6, ...rest } = options
  for (const [name, layers] of Object.entries({ encoderLayers, decoderLayers }))
    checkInteger('Transformer', name, layers, 0, maxLayers)
  const layer = { ...rest, finalNorm: true, random: generatorOf('Transformer', options) }
  return {
    encoder: new TransformerEncoder({ ...layer, layers: encoderLayers }),
    decoder: new TransformerDecoder({ ...layer, layers: decoderLayers }),
  }
}

export interface TransformerForwardOptions extends Dropping {
  /** i32 [batch]: how much of each source counts. */
  sourceLengths?: Tensor | undefined
  /** i32 [batch]: how much of each target counts. */
  targetLengths?: Tensor | undefined
  /** Whether token i of the target sees the tokens j ≤ i only; true unless said. */
  causal?: boolean | undefined
}

/**
 * The encoder-decoder Transformer (Vaswani et al. 2017): post-norm unless `normFirst`, with a norm after each stack as
 * torch.nn.Transformer has it; or made of stacks that exist. Embeddings and the output projection are up to the caller.
 */
export class Transformer extends Module {
  readonly encoder: TransformerEncoder
  readonly decoder: TransformerDecoder

  constructor(options: TransformerOptions | TransformerStacks) {
    super()
    checkOptions('Transformer', options, known)
    const { encoder, decoder } = Object.keys(stacks).some((name) => name in options)
      ? checkStacks(options as TransformerStacks)
      : makeStacks(options as TransformerOptions)
    this.encoder = encoder
    this.decoder = decoder
  }

  /** source [batch, sourceLength, dim], target [batch, targetLength, dim] → [batch, targetLength, dim]. */
  forward(source: Tensor, target: Tensor, options: TransformerForwardOptions = {}): Tensor {
    checkOptions('Transformer', options, {
      sourceLengths: 'any',
      targetLengths: 'any',
      causal: 'boolean',
      dropout: 'any',
    })
    const { sourceLengths, targetLengths, causal = true, dropout } = options
    const memory = this.encoder.forward(source, { keyLengths: sourceLengths, dropout })
    return this.decoder.forward(target, memory, {
      causal,
      keyLengths: targetLengths,
      memoryKeyLengths: sourceLengths,
      dropout,
    })
  }
}
