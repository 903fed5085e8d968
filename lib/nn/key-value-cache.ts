import { ArgumentError, checkInteger } from '../errors.ts'
import { allocate, type Tensor } from '../tensor/tensor.ts'

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

  constructor({ layers, batch = 1, kvHeads, headDim, capacity }: CacheShape) {
    for (const [name, value] of Object.entries({ layers, batch, kvHeads, headDim, capacity }))
      checkInteger('KeyValueCache', name, value, 1)
    this.capacity = capacity
    const make = (): Tensor => allocate('KeyValueCache', [batch, kvHeads, capacity, headDim], 'f32')
    this.layers = Array.from({ length: layers }, () => ({ keys: make(), values: make() }))
  }

  /** What layer `index` attends to and adds to. `position` (i32 scalar): how many tokens are there already. */
  layer(index: number, position: Tensor): LayerCache {
    const layer = this.layers[index]
    if (!layer)
      throw new ArgumentError(`KeyValueCache: layer should be from 0 to ${this.layers.length - 1}, got ${index}`)
    return { ...layer, position }
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
