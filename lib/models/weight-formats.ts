import { ArgumentError, describe } from '../errors.ts'
import { Embedding, Linear } from '../nn/linear.ts'
import { Module } from '../nn/module.ts'
import { MultiHeadAttention } from '../nn/multi-head-attention.ts'
import type { WeightFormat } from '../ops/quantize.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { DecoderModel } from './decoder-model.ts'
import { EncoderDecoderModel } from './encoder-decoder-model.ts'
import { EncoderModel } from './encoder-model.ts'
import { Head } from './heads.ts'

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
  /** Rows are looked up in it. */
  readonly isLookedUp: boolean
  /** It is the factor of a product; a table may be both. */
  readonly isMultiplied: boolean
  /** What int8 is for it, where a scale for each output is not enough. */
  readonly int8?: WeightFormat
}

/** The weights of a model that are multiplied by or looked up in, and nothing else. */
export function packableWeights(model: Module): Map<Tensor, Packable> {
  const packable = new Map<Tensor, Packable>()
  const modules = modulesOf(model)
  const formats = int8OfEncoders(modules)
  const tied = tiedTables(modules)
  for (const module of modules) {
    const int8 = formats.get(module)
    const more = int8 && { int8 }
    if (module instanceof Embedding)
      packable.set(module.weight, { inputsFirst: false, isLookedUp: true, isMultiplied: tied.has(module), ...more })
    else if (module instanceof Linear && !packable.has(module.weight))
      packable.set(module.weight, { inputsFirst: module.inputsFirst, isLookedUp: false, isMultiplied: true, ...more })
  }
  return packable
}

/** The embeddings whose tables are outputs, too. */
function tiedTables(modules: ReadonlySet<Module>): Set<Module> {
  const all = [...modules]
  const isTied = all.some((module) => module instanceof Head && !module.output)
  return new Set(
    all.flatMap((module) => {
      if (module instanceof EncoderModel) return isTied ? [module.tokenEmbedding] : []
      if (module instanceof DecoderModel) return isTied || module.config.tieEmbeddings ? [module.tokenEmbedding] : []
      if (!(module instanceof EncoderDecoderModel)) return []
      if (module.head && !isTied) return []
      return [module.tokenEmbedding, ...(module.decoderTokenEmbedding ? [module.decoderTokenEmbedding] : [])]
    }),
  )
}

/**
 * Encoders compare texts by the small angles between their vectors, and their normalised states have a few channels that
 * are far larger than the others. So rows are rounded in blocks of 32, embeddings and the values of attention to bf16:
 * with all-MiniLM-L6-v2 the least cosine to f32 of 67 texts is 0.9991, with a scale for each output alone 0.98.
 */
function int8OfEncoders(modules: ReadonlySet<Module>): Map<Module, WeightFormat> {
  const formats = new Map<Module, WeightFormat>()
  for (const encoder of modules) {
    if (!(encoder instanceof EncoderModel)) continue
    for (const module of modulesOf(encoder)) {
      if (module instanceof Embedding) formats.set(module, 'bf16')
      if (module instanceof Linear && !formats.has(module)) formats.set(module, 'q8_0')
      if (module instanceof MultiHeadAttention && module.value) formats.set(module.value, 'bf16')
    }
  }
  return formats
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

/** Numbers of a table that is small beside any model that has it: positions, kinds of segments, buckets. */
const smallTable = 2 ** 20

/**
 * What a weight with numbers of `fileType` is packed into; undefined: it stays f32. Quantized weights keep their blocks
 * where int8 or int4 has as many bits or more; those that have no blocks of ours (Q5_1, Q4_K, …) go into 8 bits with a
 * scale for each 32, which changes them by 0.4 % or less. Rows that are looked up are never rounded to 4 bits, and tables
 * that are no factor of a product stay f32 where the file has them so, for then it is mapped, and only rows that are
 * looked up come into memory; also small ones.
 */
export function formatFor(
  dtype: LoadDType,
  fileType: string,
  { isLookedUp, isMultiplied, int8 }: Omit<Packable, 'inputsFirst'>,
  [rows, inputs]: readonly [number, number],
  trainable: boolean,
): WeightFormat | undefined {
  const widened = trainable || !isMultiplied ? undefined : 'f32'
  if (dtype === 'f32') return widened
  const quantized = !unquantized.includes(fileType)
  const isSmall = rows * inputs <= smallTable && !quantized && dtype !== 'auto'
  if (!isMultiplied && (fileType === 'F32' || isSmall)) return undefined
  if (dtype === 'bf16') return 'bf16'
  if (dtype === 'auto') return sameAsFile[fileType] ?? (quantized ? 'q8_0' : widened)
  if (quantized && (dtype === 'int8' || fileType === 'Q4_0')) return sameAsFile[fileType] ?? 'q8_0'
  if (dtype === 'int4' && !isLookedUp) return 'q4_0'
  if (int8 && dtype === 'int8' && !quantized) return int8
  return quantized || inputs > mostInt8Inputs ? 'q8_0' : 'int8'
}

/** Of a product by int8, whose sums fit 32 bits then. */
const mostInt8Inputs = 131072
