import { Linear } from '../nn/linear.ts'
import { constant, generatorOf, type Initialised } from '../nn/init.ts'
import { Module } from '../nn/module.ts'
import { LayerNorm } from '../nn/norms.ts'
import { project } from '../nn/project.ts'
import { activate } from '../ops/matmul.ts'
import type { Activation } from '../ops/index.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import type { HeadKind } from './families/family.ts'
import type { LayerConfig } from './layer-config.ts'
import { pool, type Pooling, type Sequences } from './pooling.ts'

/** What a head stands on. */
export interface HeadBody {
  readonly config: Required<Pick<LayerConfig, 'hiddenSize' | 'normEpsilon' | 'activation' | 'bias'>> & {
    vocabSize: number
    embeddingSize?: number
    headBias?: boolean
    headActivation?: Activation
    headPooling?: Pooling
  }
}

/**
 * What turns hidden states into scores: y = output(norm(f(dense(x)))), of which only the output is always there. The
 * weights of a 'tied' output are the token embedding's.
 */
export class Head extends Module {
  readonly dense?: Linear
  readonly norm?: LayerNorm
  readonly output?: Linear
  /** Of a tied output. */
  readonly bias?: Parameter
  readonly #rows: 'each' | Pooling
  readonly #activation: Activation

  constructor(kind: HeadKind, { config }: HeadBody, labels: number, options: Initialised = {}) {
    super()
    const { hiddenSize, vocabSize, normEpsilon: epsilon, activation, bias, headPooling = 'first' } = config
    const random = generatorOf('Head', options)
    const width = config[kind.dense?.width ?? 'hiddenSize'] ?? hiddenSize
    if (kind.dense) this.dense = new Linear(hiddenSize, width, { random, bias: config.headBias ?? true })
    if (kind.dense?.norm) this.norm = new LayerNorm(width, { epsilon, bias })
    if (kind.output === 'tied') this.bias = constant([vocabSize], 0)
    else
      this.output = new Linear(width, kind.output === 'labels' ? labels : kind.output, {
        random,
        bias: kind.bias ?? true,
      })
    this.#rows = kind.rows === 'headPooling' ? headPooling : kind.rows
    const chosen = kind.dense?.activation ?? 'activation'
    this.#activation =
      chosen === 'activation'
        ? activation
        : chosen === 'headActivation'
          ? (config.headActivation ?? activation)
          : chosen
  }

  /** True for scores of each token, false for scores of each sequence. */
  get isForTokens(): boolean {
    return this.#rows === 'each'
  }

  /**
   * hidden [tokens, hiddenSize], tokenEmbedding [vocabSize, embeddingSize] → scores [tokens, outputs], or
   * [sequences, outputs] of whole sequences.
   */
  forward(hidden: Tensor, tokenEmbedding: Tensor, sequences: Sequences): Tensor {
    let x = this.#rows === 'each' ? hidden : pool(hidden, this.#rows, sequences)
    if (this.dense) x = activate('Head', this.#activation, this.dense.forward(x))
    if (this.norm) x = this.norm.forward(x)
    return this.output ? this.output.forward(x) : project(x, tokenEmbedding, { bias: this.bias! })
  }
}
