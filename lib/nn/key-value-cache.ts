import { checkInteger, checkOptions } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import { checkCacheFormat, quantizedCache, type CacheFormat, type QuantizedCache } from '../ops/cache.ts'
import { bytesPerElement } from '../tensor/dtype.ts'
import { sizeOf } from '../tensor/shape.ts'
import { allocate, Tensor } from '../tensor/tensor.ts'
import { maxLayers } from './module.ts'

export interface CacheShape {
  layers: number
  batch?: number
  kvHeads: number
  headDim: number
  /** Most tokens that it can hold. */
  capacity: number
  /** What keys and values are stored as; f32 unless said. `quantizedCache` says what bf16 and int8 cost and save. */
  dtype?: CacheFormat
}

/** Where in a cache the tokens of a call lie. */
export interface CachePlace {
  /** i32 scalar: how many tokens are there already. With `offsets` i32 [sequences]. */
  position: Tensor
  /**
   * i32 [sequences + 1], beginning with 0: sequences of several lengths in one call, x being [tokens, dim] and sequence n its
   * rows offsets[n] … offsets[n + 1] − 1, which may be none.
   */
  offsets?: Tensor | undefined
  /** i32 [sequences]: the row of the batch that each of them lies in; its own number unless given. */
  slots?: Tensor | undefined
}

/** Keys and values of the tokens so far, per layer: [batch, kvHeads, capacity, headDim], updated in place. */
export class KeyValueCache implements Disposable {
  readonly capacity: number
  readonly dtype: CacheFormat
  readonly layers: readonly { readonly keys: CachedRows; readonly values: CachedRows }[]

  constructor(shape: CacheShape) {
    checkOptions('KeyValueCache', shape, ['layers', 'batch', 'kvHeads', 'headDim', 'capacity', 'dtype'])
    const { layers, batch = 1, kvHeads, headDim, capacity } = shape
    checkInteger('KeyValueCache', 'layers', layers, 1, maxLayers)
    for (const [name, value] of Object.entries({ batch, kvHeads, headDim, capacity }))
      checkInteger('KeyValueCache', name, value, 1)
    this.capacity = capacity
    const dtype = checkCacheFormat('KeyValueCache', 'dtype', shape.dtype ?? 'f32')
    this.dtype = dtype
    const rows = [batch, kvHeads, capacity, headDim]
    const make = (): CachedRows =>
      dtype === 'f32' ? allocate('KeyValueCache', rows, dtype) : quantizedCache(rows, dtype)
    this.layers = Array.from({ length: layers }, () => ({ keys: make(), values: make() }))
  }

  /** Of memory. */
  get bytes(): number {
    const bytesOf = (rows: CachedRows): number =>
      rows instanceof Tensor ? sizeOf(rows.shape) * bytesPerElement[rows.dtype] : rows.bytes
    return this.layers.reduce((sum, { keys, values }) => sum + bytesOf(keys) + bytesOf(values), 0)
  }

  /** What layer `index` attends to and adds to, and where: at a position alone, or of several sequences. */
  layer(index: number, place: Tensor | CachePlace): LayerCache {
    checkInteger('KeyValueCache', 'layer', index, 0, this.layers.length - 1)
    const { position, offsets, slots } =
      place instanceof Tensor ? ({ position: place } as CachePlace) : this.#checkPlace(place)
    checkTensor('KeyValueCache', 'position', position)
    return { ...this.layers[index]!, position, offsets, slots }
  }

  #checkPlace(place: CachePlace): CachePlace {
    checkOptions('KeyValueCache', place, ['position', 'offsets', 'slots'])
    const { offsets, slots } = place
    for (const [name, x] of Object.entries({ offsets, slots }))
      if (x !== undefined) checkTensor('KeyValueCache', name, x)
    return place
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

/** Keys or values of one layer. */
export type CachedRows = Tensor | QuantizedCache

export interface LayerCache extends Readonly<CachePlace> {
  readonly keys: CachedRows
  readonly values: CachedRows
}
