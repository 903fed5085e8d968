import { checkInteger, checkOptions } from '../errors.ts'
import { embedding, type Activation } from '../ops/index.ts'
import { packedColumns } from '../ops/packed-rows.ts'
import { QuantizedMatrix } from '../ops/quantize.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import { generatorOf, normal, uniform, type Initialised } from './init.ts'
import { Module } from './module.ts'
import { project } from './project.ts'

export interface LinearOptions extends Initialised {
  bias?: boolean
  /** The weight is kept as [inputs, outputs], as GPT-2's checkpoints have it. */
  inputsFirst?: boolean
}

/**
 * y = x·Wᵀ + b. weight [outputs, inputs] unless `inputsFirst`, bias [outputs], both from U(−1/√inputs, 1/√inputs), as
 * torch.nn.Linear. x […, inputs] → […, outputs].
 */
export class Linear extends Module {
  readonly weight: Parameter
  readonly bias?: Parameter
  readonly #inputsFirst: boolean

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    super()
    checkInteger('Linear', 'inputs', inputs, 1)
    checkInteger('Linear', 'outputs', outputs, 1)
    checkOptions('Linear', options, { bias: 'boolean', inputsFirst: 'boolean', random: 'any' })
    const random = generatorOf('Linear', options)
    const bound = 1 / Math.sqrt(inputs)
    this.#inputsFirst = options.inputsFirst ?? false
    this.weight = uniform(this.#inputsFirst ? [inputs, outputs] : [outputs, inputs], random, bound)
    if (options.bias ?? true) this.bias = uniform([outputs], random, bound)
  }

  forward(x: Tensor, options: { activation?: Activation } = {}): Tensor {
    checkOptions('Linear', options, ['activation'])
    return project(x, this.weight, { ...options, ...(this.bias && { bias: this.bias }) }, this.#inputsFirst)
  }

  /** @internal How the weight lies. */
  get inputsFirst(): boolean {
    return this.#inputsFirst
  }
}

export interface EmbeddingLayerOptions extends Initialised {
  /** A row that stays zero. */
  paddingIndex?: number
}

/** y = weight[ids]. weight [count, dim], from N(0, 1), as torch.nn.Embedding. ids i32 […] → […, dim]. */
export class Embedding extends Module {
  readonly weight: Parameter
  readonly #paddingIndex: number | undefined

  constructor(count: number, dim: number, options: EmbeddingLayerOptions = {}) {
    super()
    checkInteger('Embedding', 'count', count, 1)
    checkInteger('Embedding', 'dim', dim, 1)
    checkOptions('Embedding', options, ['paddingIndex', 'random'])
    const { paddingIndex } = options
    this.weight = normal([count, dim], generatorOf('Embedding', options))
    this.#paddingIndex = paddingIndex
    if (paddingIndex !== undefined) {
      checkInteger('Embedding', 'paddingIndex', paddingIndex, 0, count - 1)
      if (!this.weight.isUnbound) this.weight.data().fill(0, paddingIndex * dim, (paddingIndex + 1) * dim)
    }
  }

  forward(ids: Tensor): Tensor {
    if (this.weight.packed instanceof QuantizedMatrix) return packedColumns(this.weight.packed, ids)
    return embedding(this.weight, ids, this.#paddingIndex === undefined ? {} : { paddingIndex: this.#paddingIndex })
  }
}
