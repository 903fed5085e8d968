import { checkInteger, checkOptions } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import type { Tensor } from '../tensor/tensor.ts'
import {
  layerForwardOptions,
  layerOptions,
  layerParts,
  residual,
  stackOptions,
  type StackForwardOptions,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from './encoder.ts'
import type { FeedForward } from './feed-forward.ts'
import { generatorOf } from './init.ts'
import { maxLayers, Module } from './module.ts'
import { attendOptionNames, type AttendOptions, type MultiHeadAttention } from './multi-head-attention.ts'
import type { LayerNorm } from './norms.ts'

interface MemoryOptions {
  /** i32 [batch]: keys of the memory beyond are not seen. */
  memoryKeyLengths?: Tensor | undefined
  /** With `offsets`: those of the memory. */
  memoryOffsets?: Tensor | undefined
}
export interface DecoderLayerForwardOptions extends AttendOptions, MemoryOptions {}
export interface DecoderForwardOptions extends StackForwardOptions, MemoryOptions {}

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
  forward(x: Tensor, memory: Tensor, options: DecoderLayerForwardOptions = {}): Tensor {
    checkTensor('TransformerDecoderLayer', 'x', x)
    checkTensor('TransformerDecoderLayer', 'memory', memory)
    checkOptions('TransformerDecoderLayer', options, [...attendOptionNames, 'memoryKeyLengths', 'memoryOffsets'])
    const { memoryKeyLengths, memoryOffsets, causal = true, ...own } = options
    const { dropout, offsets } = options
    const attended = residual(x, this.norm1, this.#normFirst, (input) =>
      this.selfAttention.forward(input, { ...own, causal }),
    )
    const informed = residual(attended, this.norm2, this.#normFirst, (input) =>
      this.crossAttention.forward(input, { memory, keyLengths: memoryKeyLengths, offsets, memoryOffsets, dropout }),
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
    checkTensor('TransformerDecoder', 'x', x)
    checkTensor('TransformerDecoder', 'memory', memory)
    const of = layerForwardOptions('TransformerDecoder', options, ['memoryKeyLengths', 'memoryOffsets'])
    const out = this.layers.reduce((hidden, layer, index) => layer.forward(hidden, memory, of(index)), x)
    return this.norm ? this.norm.forward(out) : out
  }
}
