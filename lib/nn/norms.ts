import { checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { add, layerNorm, rmsNorm } from '../ops/index.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import { constant } from './init.ts'
import { Module } from './module.ts'

export interface LayerNormOptions {
  epsilon?: number
  bias?: boolean
}

/** (x − mean) / √(variance + ε) ⊙ weight + bias over the last dimension, of size `dim`. */
export class LayerNorm extends Module {
  readonly weight: Parameter
  readonly bias?: Parameter
  readonly #epsilon: number

  constructor(dim: number, options: LayerNormOptions = {}) {
    super()
    checkInteger('LayerNorm', 'dim', dim, 1)
    checkOptions('LayerNorm', options, { epsilon: 'any', bias: 'boolean' })
    this.#epsilon = checkNumber('LayerNorm', 'epsilon', options.epsilon ?? 1e-5, 0)
    this.weight = constant([dim], 1)
    if (options.bias ?? true) this.bias = constant([dim], 0)
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { epsilon: this.#epsilon })
  }
}

export interface RMSNormOptions {
  epsilon?: number
  /** Added to the weight, whose first values are 1 − offset (Gemma). */
  offset?: number
}

/** x / √(mean(x²) + ε) ⊙ (weight + offset) over the last dimension, of size `dim`; offset is 0 unless said. */
export class RMSNorm extends Module {
  readonly weight: Parameter
  readonly #epsilon: number
  readonly #offset: number

  constructor(dim: number, options: RMSNormOptions = {}) {
    super()
    checkInteger('RMSNorm', 'dim', dim, 1)
    checkOptions('RMSNorm', options, ['epsilon', 'offset'])
    this.#epsilon = checkNumber('RMSNorm', 'epsilon', options.epsilon ?? 1e-5, 0)
    this.#offset = checkNumber('RMSNorm', 'offset', options.offset ?? 0)
    this.weight = constant([dim], 1 - this.#offset)
  }

  forward(x: Tensor): Tensor {
    const weight = this.#offset === 0 ? this.weight : add(this.weight, this.#offset)
    return rmsNorm(x, weight, { epsilon: this.#epsilon })
  }
}
