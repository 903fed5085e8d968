import { ArgumentError, describe, FileError } from '../../errors.ts'
import type { DecoderConfig } from '../decoder-config.ts'
import type { ConfigPart } from './family.ts'

type Json = Readonly<Record<string, unknown>>

export interface WindowKeys {
  /** What a file without sliding_window means: a number of tokens, or null for none. */
  readonly default: number | null
  /** use_sliding_window says whether there is one. */
  readonly isSwitched?: true
  /** Whether layer `index` has the window where `layer_types` does not say; all have it, and there are no layer_types, unless said. */
  readonly layers?: (index: number, json: Json) => boolean
}

/** `sliding_window` and its kin. */
export function slidingWindow({ default: fallback, isSwitched, layers }: WindowKeys): ConfigPart<DecoderConfig> {
  return {
    read(json, { numLayers }, where) {
      const isOff = isSwitched && json['use_sliding_window'] !== true
      const given = json['sliding_window'] === undefined ? fallback : json['sliding_window']
      const window = isOff ? null : given
      if (window !== null && !(Number.isSafeInteger(window) && (window as number) > 0))
        throw new FileError(`${where}: sliding_window should be a whole number of at least 1, got ${describe(window)}`)
      const windowLayers = (layers && layerTypes(json, numLayers!, where)) ?? []
      if (!windowLayers.length)
        for (let i = 0; i < numLayers!; i++) windowLayers.push(window !== null && (layers?.(i, json) ?? true))
      if (window === null && windowLayers.includes(true))
        throw new FileError(`${where}: layer_types asks for sliding_attention, but there is no sliding_window`)
      return { window: windowLayers.includes(true) ? (window as number) : 0, windowLayers }
    },
    write({ window, windowLayers }) {
      return {
        sliding_window: window || null,
        ...(isSwitched && { use_sliding_window: window !== 0, max_window_layers: windowLayers.length }),
        ...(layers && { layer_types: windowLayers.map((has) => (has ? 'sliding_attention' : 'full_attention')) }),
      }
    },
  }
}

/** Whether each layer has the window, by `layer_types`; undefined where there are none. */
export function layerTypes(json: Json, numLayers: number, where: string): boolean[] | undefined {
  const types = json['layer_types']
  if (types === undefined || types === null) return undefined
  if (!Array.isArray(types) || types.length !== numLayers)
    throw new FileError(`${where}: layer_types should name the type of ${numLayers} layers, got ${describe(types)}`)
  return types.map((type: unknown) => {
    if (type !== 'sliding_attention' && type !== 'full_attention')
      throw new ArgumentError(
        `${where}: layer_types ${describe(type)} is not supported; supported: full_attention, sliding_attention`,
      )
    return type === 'sliding_attention'
  })
}
