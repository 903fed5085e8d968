import { ArgumentError, ShapeError, checkOptions, describe } from '../errors.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { Parameter, Tensor } from '../tensor/tensor.ts'

/** Of a stack: more would not end before the memory does. */
export const maxLayers = 10_000

/**
 * A layer or a model: a plain class whose fields are parameters, other modules, or arrays of them. A parameter's name
 * is its field path: `layers.0.attention.output.weight`. What differs from call to call (dropout, a cache, a mask) is
 * an argument of `forward`, never a state of the module.
 */
export abstract class Module implements Disposable {
  /** All parameters by field path, in field order; one that stands in two places has the first name. */
  parameters(): Map<string, Parameter> {
    return new Map([...this.#tensors()].filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter))
  }

  #tensors(): Map<string, Tensor> {
    const found = new Map<string, Tensor>()
    const seen = new Set<unknown>()
    const visit = (value: unknown, path: string): void => {
      const isTensor = value instanceof Tensor
      if (seen.has(value) || !(isTensor || value instanceof Module || Array.isArray(value))) return
      seen.add(value)
      if (isTensor) found.set(path, value)
      else for (const [key, inner] of Object.entries(value)) visit(inner, path ? `${path}.${key}` : key)
    }
    visit(this, '')
    return found
  }

  /** Number of trainable numbers. */
  get parameterCount(): number {
    let count = 0
    for (const parameter of this.parameters().values()) if (parameter.trainable) count += parameter.size
    return count
  }

  /** The parameters themselves, to be written with `writeSafetensors`. */
  stateDict(): Map<string, Parameter> {
    return this.parameters()
  }

  /**
   * Copies values in by name, converted to the parameters' dtypes. With `strict` (the default), a missing or an extra
   * name is an ArgumentError; a wrong shape is a ShapeError in any case. Nothing is changed when it throws.
   */
  loadStateDict(state: ReadonlyMap<string, Tensor>, options: { strict?: boolean } = {}): void {
    checkOptions('loadStateDict', options, { strict: 'boolean' })
    if (!(state instanceof Map))
      throw new ArgumentError(`loadStateDict: expected a Map of tensors by name, got ${describe(state)}`)
    const parameters = this.parameters()
    if (options.strict ?? true) {
      const missing = [...parameters.keys()].filter((name) => !state.has(name))
      const extra = [...state.keys()].filter((name) => !parameters.has(name))
      if (missing.length || extra.length)
        throw new ArgumentError(
          `loadStateDict: ${[missing.length && `missing ${list(missing)}`, extra.length && `unknown ${list(extra)}`].filter(Boolean).join('; ')}; pass { strict: false } to load what fits`,
        )
    }
    for (const [name, parameter] of parameters) {
      if (!state.has(name)) continue
      const value: unknown = state.get(name)
      if (!(value instanceof Tensor))
        throw new ArgumentError(`loadStateDict: ${name} should be a tensor, got ${describe(value)}`)
      for (const tensor of [value, parameter]) tensor.memory(`loadStateDict: ${name}`)
      if (!sameShape(value.shape, parameter.shape))
        throw new ShapeError(
          `loadStateDict: ${name} should have shape ${formatShape(parameter.shape)}, got ${formatShape(value.shape)}`,
        )
    }
    for (const [name, parameter] of parameters) {
      const value = state.get(name)
      if (value) parameter.copyFrom(value)
    }
  }

  /** Gives the memory of all parameters back, and that of the tensors beside them in its fields. */
  dispose(): void {
    for (const tensor of this.#tensors().values()) tensor.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

const list = (names: readonly string[]): string =>
  names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ')
