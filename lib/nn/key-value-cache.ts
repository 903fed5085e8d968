import { checkInteger, checkOptions } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'
import { maxLayers } from './module.ts'

export interface CacheShape {
  layers: number
  batch?: number
  kvHeads: number
  headDim: number
  /** Most tokens that it can hold. */
  capacity: number
}

/** Keys and values of the tokens so far, per layer: [batch, kvHeads, capacity, headDim], updated in place. */
export class KeyValueCache implements Disposable {
  readonly capacity: number
  readonly layers: readonly { readonly keys: Tensor; readonly values: Tensor }[]

  constructor(shape: CacheShape) {
    checkOptions('KeyValueCache', shape, ['layers', 'batch', 'kvHeads', 'headDim', 'capacity'])
    const { layers, batch = 1, kvHeads, headDim, capacity } = shape
    checkInteger('KeyValueCache', 'layers', layers, 1, maxLayers)
    for (const [name, value] of Object.entries({ batch, kvHeads, headDim, capacity }))
      checkInteger('KeyValueCache', name, value, 1)
    this.capacity = capacity
    const make = (): Tensor => allocate('KeyValueCache', [batch, kvHeads, capacity, headDim], 'f32')
    this.layers = Array.from({ length: layers }, () => ({ keys: make(), values: make() }))
  }

  /** What layer `index` attends to and adds to. `position` (i32 scalar): how many tokens are there already. */
  layer(index: number, position: Tensor): LayerCache {
    checkInteger('KeyValueCache', 'layer', index, 0, this.layers.length - 1)
    return { ...this.layers[index]!, position: checkTensor('KeyValueCache', 'position', position) }
  }

  dispose(): void {
    for (const { keys, values } of this.layers) {
      keys.dispose()
      values.dispose()
    }
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

export interface LayerCache {
  readonly keys: Tensor
  readonly values: Tensor
  readonly position: Tensor
}
