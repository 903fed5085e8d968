import { matmul, transpose, type MatmulOptions } from '../ops/index.ts'
import { QuantizedMatrix } from '../ops/quantize.ts'
import type { Tensor } from '../tensor/tensor.ts'

/**
 * x·Wᵀ (+ b) with the weight [outputs, inputs] of a layer, whatever form it is kept in; with `inputsFirst`, x·W with
 * [inputs, outputs]. An embedding's table goes in as the weight of a tied output.
 */
export function project(x: Tensor, weight: Tensor, options: MatmulOptions = {}, inputsFirst = false): Tensor {
  if (weight.packed instanceof QuantizedMatrix) return matmul(x, weight.packed, options)
  return matmul(x, inputsFirst ? weight : transpose(weight), options)
}
