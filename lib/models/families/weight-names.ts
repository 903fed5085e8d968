import { ArgumentError } from '../../errors.ts'
import type { Module } from '../../nn/module.ts'
import type { Shape } from '../../tensor/shape.ts'
import type { Parameter } from '../../tensor/tensor.ts'
import type { Family } from './family.ts'

/** One tensor of a checkpoint, and the parameter that it is. */
export interface WeightEntry {
  readonly name: string
  readonly path: string
  readonly shape: Shape
  /** undefined: the model has no such parameter, it is a bias of zeros. */
  readonly parameter: Parameter | undefined
  /** The tensor is a part of the parameter, from element `first` on; the whole is called `of`. */
  readonly part?: { readonly first: number; readonly of: string }
}

/** The name of the parameter of an entry. */
export const nameOf = ({ name, part }: WeightEntry): string => part?.of ?? name

/**
 * All tensors of a checkpoint of this family, in the order of its tables. The model may be one without values: shapes
 * and names are all that counts. Throws ArgumentError for a parameter that the family has no name for.
 */
export function weightEntries(
  family: Family,
  model: Module,
  weights: Family['weights'] = family.weights,
): WeightEntry[] {
  const entries: WeightEntry[] = []
  const parameters = model.parameters()
  const found = new Set<string>()
  const add = (name: string, target: string): void => {
    const [path, part, parts] = partOf(target)
    const parameter = parameters.get(path)
    const shape = parameter?.shape ?? (family.zeroBiases ? biasShape(parameters, path) : undefined)
    if (!shape) return
    found.add(path)
    if (part === undefined) entries.push({ name, path, shape, parameter })
    else if (parameter) entries.push(...partEntries(family, name, path, parameter, part, parts))
  }
  const patterns = Object.entries(weightNames({ weights }, (model as unknown as { config: object }).config))
  const stacks = new Set<string>()
  for (const [name, path] of patterns) {
    const stack = stackOf(path)
    if (stack === undefined) add(name, path)
    if (stack === undefined || stacks.has(stack)) continue
    stacks.add(stack)
    const layer = patterns.filter(([, other]) => stackOf(other) === stack)
    for (let i = 0; i < layersOf(stack, parameters); i++)
      for (const [inFile, inModel] of layer) add(inFile.replace('#', String(i)), inModel.replace('#', String(i)))
  }
  const nameless = [...parameters.keys()].find((path) => !found.has(path))
  if (nameless !== undefined)
    throw new ArgumentError(`${family.modelType}: its checkpoints have no tensor for the parameter ${nameless}`)
  return entries
}

/** 'path[1/2]': the second half of each element of a stacked parameter. */
function partOf(target: string): [path: string, part: number | undefined, parts: number] {
  const found = /^(.*)\[(\d+)\/(\d+)\]$/.exec(target)
  return found ? [found[1]!, Number(found[2]), Number(found[3])] : [target, undefined, 1]
}

/** The tensors of a stacked parameter [count, rows, …]: one for each of its elements, '*' in the name, or a part of it. */
function partEntries(
  { stacked = {} }: Family,
  name: string,
  path: string,
  parameter: Parameter,
  part: number,
  parts: number,
): WeightEntry[] {
  const [count, rows, ...rest] = parameter.shape as [number, number, ...number[]]
  const shape = [rows / parts, ...rest]
  const size = shape.reduce((product, d) => product * d, 1)
  const layer = /\.(\d+)\./.exec(path)?.[1] ?? ''
  const of = stacked[path.replace(/\.\d+\./, '.#.')]!.replace('#', layer)
  return Array.from({ length: count }, (_, i) => ({
    name: name.replace('*', String(i)),
    path,
    shape,
    parameter,
    part: { first: (i * parts + part) * size, of },
  }))
}

/** The names of a family's tensors and the field paths of their parameters, for a model of this configuration. */
export const weightNames = ({ weights }: Pick<Family, 'weights'>, config: object): Readonly<Record<string, string>> =>
  typeof weights === 'function' ? weights(config) : weights

/** What stands before the number of a layer; undefined where there is none. */
const stackOf = (path: string): string | undefined => (path.includes('#') ? path.split('#')[0] : undefined)

function layersOf(stack: string, parameters: ReadonlyMap<string, Parameter>): number {
  let count = 0
  for (const path of parameters.keys())
    if (path.startsWith(stack)) count = Math.max(count, 1 + Number.parseInt(path.slice(stack.length), 10))
  return count
}

/** That of the bias that would stand beside a weight; undefined where no weight does. */
function biasShape(parameters: ReadonlyMap<string, Parameter>, path: string): Shape | undefined {
  if (!path.endsWith('.bias')) return undefined
  const weight = parameters.get(path.replace(/bias$/, 'weight'))
  return weight && [weight.shape.at(-1)!]
}
