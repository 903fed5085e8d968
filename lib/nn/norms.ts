import { checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { layerNorm, rmsNorm } from '../ops/index.ts'
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

/** x / √(mean(x²) + ε) ⊙ weight over the last dimension, of size `dim`. */
export class RMSNorm extends Module {
  readonly weight: Parameter
  readonly #epsilon: number

  constructor(dim: number, options: { epsilon?: number } = {}) {
    super()
    checkInteger('RMSNorm', 'dim', dim, 1)
    checkOptions('RMSNorm', options, ['epsilon'])
    this.#epsilon = checkNumber('RMSNorm', 'epsilon', options.epsilon ?? 1e-5, 0)
    this.weight = constant([dim], 1)
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, { epsilon: this.#epsilon })
  }
}
