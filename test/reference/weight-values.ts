import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { sizeOf, type Shape } from '../../lib/tensor/shape.ts'
import { fromData } from '../../lib/tensor/tensor.ts'

/** Multiples of 2^-17 in [-1/4, 1/4): FNV-1a of the name seeds an LCG (Numerical Recipes), as in make-encoders.py and make-decoders.py. */
export function namedNumbers(name: string, shape: Shape): Float32Array {
  let state = 0x811c9dc5
  for (const byte of Buffer.from(name)) state = Math.imul(state ^ byte, 0x01000193)
  return Float32Array.from({ length: sizeOf(shape) }, () => {
    state = Math.imul(1664525, state) + 1013904223
    return (state >>> 16) / 2 ** 17 - 0.25
  })
}

/** The weights of reference models that are not stored, by their names: those of norms stand around 1. */
export function weightValues(name: string, shape: Shape): Float32Array {
  const isScale = shape.length === 1 && name.endsWith('.weight')
  const values = namedNumbers(name, shape)
  return isScale ? values.map((value) => value + 1) : values
}

/** A folder as transformers writes it, with weights by their names; `more` have the values of others. */
export async function writeReferenceModel(
  folder: string,
  config: object,
  weights: Readonly<Record<string, Shape>>,
  more: Readonly<Record<string, readonly [valuesOf: string, shape: Shape]>> = {},
): Promise<void> {
  const own = Object.entries(weights).map(([name, shape]) => [name, [name, shape]] as const)
  const tensors = [...own, ...Object.entries(more)].map(
    ([name, [valuesOf, shape]]) => [name, fromData(weightValues(valuesOf, shape), { shape })] as const,
  )
  await writeSafetensors(join(folder, 'model.safetensors'), tensors)
  for (const [, tensor] of tensors) tensor.dispose()
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
}
