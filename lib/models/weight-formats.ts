import { ArgumentError, describe } from '../errors.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import type { WeightFormat } from '../ops/quantize.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** What the weights of a model are kept as when it is opened. */
export const loadDTypes = ['f32', 'bf16', 'int8', 'int4', 'auto'] as const
export type LoadDType = (typeof loadDTypes)[number]

export function checkLoadDType(operation: string, dtype: unknown): LoadDType {
  if (dtype === undefined) return 'f32'
  if (!loadDTypes.includes(dtype as LoadDType))
    throw new ArgumentError(`${operation}: dtype should be one of ${loadDTypes.join(', ')}, got ${describe(dtype)}`)
  return dtype as LoadDType
}

/** How a weight is used that can be packed. */
export interface Packable {
  /** [inputs, outputs] instead of [outputs, inputs]. */
  readonly inputsFirst: boolean
  /** Rows are looked up in it; it may be an output, too. */
  readonly isLookedUp: boolean
}

/** The weights of a model that are multiplied by or looked up in, and nothing else. */
export function packableWeights(model: Module): Map<Tensor, Packable> {
  const packable = new Map<Tensor, Packable>()
  for (const module of modulesOf(model)) {
    if (module instanceof Embedding) packable.set(module.weight, { inputsFirst: false, isLookedUp: true })
    else if (module instanceof Linear && !packable.has(module.weight))
      packable.set(module.weight, { inputsFirst: module.inputsFirst, isLookedUp: false })
  }
  return packable
}

/** The module and all that are in its fields, at any depth. */
function modulesOf(model: Module): Set<Module> {
  const found = new Set<Module>()
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit)
    else if (value instanceof Module && !found.has(value)) {
      found.add(value)
      Object.values(value).forEach(visit)
    }
  }
  visit(model)
  return found
}

/** Kept as they are, to the last bit. */
const sameAsFile: Readonly<Record<string, WeightFormat>> = { F16: 'f16', BF16: 'bf16', Q8_0: 'q8_0', Q4_0: 'q4_0' }
const unquantized = ['F32', 'F64', 'F16', 'BF16']

/**
 * What a weight with numbers of `fileType` is packed into; undefined: it stays f32. Quantized weights keep their blocks
 * where int8 or int4 has as many bits or more; those that have no blocks of ours (Q5_1, Q4_K, …) go into 8 bits with a
 * scale for each 32, which changes them by 0.4 % or less. Rows that are looked up are never rounded to 4 bits.
 */
export function formatFor(
  dtype: LoadDType,
  fileType: string,
  isLookedUp: boolean,
  inputs: number,
): WeightFormat | undefined {
  if (dtype === 'f32') return undefined
  if (dtype === 'bf16') return 'bf16'
  const quantized = !unquantized.includes(fileType)
  if (dtype === 'auto') return sameAsFile[fileType] ?? (quantized ? 'q8_0' : undefined)
  if (quantized && (dtype === 'int8' || fileType === 'Q4_0')) return sameAsFile[fileType] ?? 'q8_0'
  if (dtype === 'int4' && !isLookedUp) return 'q4_0'
  return quantized || inputs > mostInt8Inputs ? 'q8_0' : 'int8'
}

/** Of a product by int8, whose sums fit 32 bits then. */
const mostInt8Inputs = 131072
