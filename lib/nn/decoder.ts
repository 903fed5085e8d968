import { checkInteger, checkOptions } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import type { Tensor } from '../tensor/tensor.ts'
import {
  layerOptions,
  layerParts,
  residual,
  stackOptions,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from './encoder.ts'
import type { FeedForward } from './feed-forward.ts'
import { generatorOf } from './init.ts'
import { maxLayers, Module } from './module.ts'
import { attendOptionNames, type AttendOptions, type MultiHeadAttention } from './multi-head-attention.ts'
import type { LayerNorm } from './norms.ts'

export interface DecoderForwardOptions extends AttendOptions {
  /** i32 [batch]: keys of the memory beyond are not seen. */
  memoryKeyLengths?: Tensor | undefined
}

function checkForward(operation: string, x: Tensor, memory: Tensor, options: DecoderForwardOptions): void {
  checkTensor(operation, 'x', x)
  checkTensor(operation, 'memory', memory)
  checkOptions(operation, options, [...attendOptionNames, 'memoryKeyLengths'])
}

/** Causal self-attention, attention to the memory, feed-forward. x [batch, length, dim], memory [batch, source, dim]. */
export class TransformerDecoderLayer extends Module {
  readonly selfAttention: MultiHeadAttention
  readonly norm1: LayerNorm
  readonly crossAttention: MultiHeadAttention
  readonly norm2: LayerNorm
  readonly feedForward: FeedForward
  readonly norm3: LayerNorm
  readonly #normFirst: boolean

  constructor(options: TransformerLayerOptions) {
    super()
    checkOptions('TransformerDecoderLayer', options, layerOptions)
    const parts = layerParts('TransformerDecoderLayer', options)
    this.selfAttention = parts.selfAttention()
    this.norm1 = parts.norm()
    this.crossAttention = parts.crossAttention()
    this.norm2 = parts.norm()
    this.feedForward = parts.feedForward()
    this.norm3 = parts.norm()
    this.#normFirst = options.normFirst ?? false
  }

  /** Causal unless said. */
  forward(x: Tensor, memory: Tensor, options: DecoderForwardOptions = {}): Tensor {
    checkForward('TransformerDecoderLayer', x, memory, options)
    const { memoryKeyLengths, ...own } = options
    const { dropout } = options
    const attended = residual(x, this.norm1, this.#normFirst, (input) =>
      this.selfAttention.forward(input, { causal: true, ...own }),
    )
    const informed = residual(attended, this.norm2, this.#normFirst, (input) =>
      this.crossAttention.forward(input, { memory, keyLengths: memoryKeyLengths, dropout }),
    )
    return residual(informed, this.norm3, this.#normFirst, (input) => this.feedForward.forward(input, { dropout }))
  }
}

/** Decoder layers one after another. */
export class TransformerDecoder extends Module {
  readonly layers: readonly TransformerDecoderLayer[]
  readonly norm?: LayerNorm

  constructor(options: TransformerStackOptions) {
    super()
    checkOptions('TransformerDecoder', options, stackOptions)
    const { layers, finalNorm, ...rest } = options
    checkInteger('TransformerDecoder', 'layers', layers, 0, maxLayers)
    const layer = { ...rest, random: generatorOf('TransformerDecoder', options) }
    this.layers = Array.from({ length: layers }, () => new TransformerDecoderLayer(layer))
    if (finalNorm ?? options.normFirst) this.norm = layerParts('TransformerDecoder', layer).norm()
  }

  forward(x: Tensor, memory: Tensor, options: DecoderForwardOptions = {}): Tensor {
    checkForward('TransformerDecoder', x, memory, options)
    const out = this.layers.reduce((hidden, layer) => layer.forward(hidden, memory, options), x)
    return this.norm ? this.norm.forward(out) : out
  }
}
