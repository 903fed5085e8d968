import { ArgumentError } from '../../errors.ts'
import type { Shape } from '../../tensor/shape.ts'
import type { ResolvedDecoderConfig } from '../decoder-model.ts'
import { parameterShape } from '../decoder-shapes.ts'
import type { Family } from './family.ts'

/** One tensor of a checkpoint. */
export interface WeightEntry {
  readonly name: string
  /** Field path of the parameter that holds it. */
  readonly path: string
  readonly parameterShape: Shape
  /** In the checkpoint. */
  readonly shape: Shape
  /** The parameter is its transpose. */
  readonly transpose?: true
  /** It is these rows of the parameter: first, and one beyond the last. */
  readonly rows?: readonly [from: number, to: number]
  /** The model has no such parameter: it is a bias of zeros. */
  readonly zero?: true
}

/** All tensors of a checkpoint of this family and configuration, in the order of the model. */
export function weightEntries(family: Family, config: ResolvedDecoderConfig): WeightEntry[] {
  const perLayer = Object.keys(family.weights).filter((name) => name.includes('#'))
  const entries: WeightEntry[] = []
  const expand = (pattern: string, layer: string): void => {
    const rule = family.weights[pattern]!
    const { path: pathPattern, transpose, rows: rowsOf } = typeof rule === 'string' ? { path: rule } : rule
    const path = pathPattern.replace('#', layer)
    if (path === 'head.weight' && config.tieEmbeddings) return
    const whole = parameterShape(config, path)
    if (!whole) throw new ArgumentError(`${family.modelType}: this model has no parameter ${path}`)
    const rows = rowsOf?.(config)
    const shape = transpose ? [...whole].reverse() : rows ? [rows[1] - rows[0], ...whole.slice(1)] : whole
    entries.push({
      name: pattern.replace('#', layer),
      path,
      parameterShape: whole,
      shape,
      ...(transpose && { transpose }),
      ...(rows && { rows }),
      ...(!config.bias && path.endsWith('.bias') && { zero: true as const }),
    })
  }
  for (const pattern of Object.keys(family.weights)) {
    if (!pattern.includes('#')) expand(pattern, '')
    else if (pattern === perLayer[0])
      for (let layer = 0; layer < config.numLayers; layer++)
        for (const inLayer of perLayer) expand(inLayer, String(layer))
  }
  return entries
}
