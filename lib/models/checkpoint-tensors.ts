import { ArgumentError, DTypeError, FileError, ShapeError } from '../errors.ts'
import { formatShape, sameShape, sizeOf } from '../tensor/shape.ts'
import { allocate, Tensor } from '../tensor/tensor.ts'
import type { Family, WeightEntry } from './families/index.ts'

/**
 * Finds the tensor of each entry among those of a checkpoint. Throws FileError for tensors that are missing, that
 * nothing asks for, or that contradict each other, ShapeError and DTypeError for those of the wrong kind; all name the
 * tensor. `where` begins their messages.
 */
export function matchTensors(
  family: Family,
  entries: readonly WeightEntry[],
  tensors: ReadonlyMap<string, Tensor>,
  where: string,
): Map<WeightEntry, Tensor> {
  const withoutPrefix = (name: string): string =>
    name.startsWith(family.prefix) ? name.slice(family.prefix.length) : name
  const nameInFile = (name: string): string => (tensors.has(name) ? name : withoutPrefix(name))
  const missing = entries.filter(({ name }) => !tensors.has(nameInFile(name)))
  if (missing.length)
    throw new FileError(`${where}: ${list(missing.map(({ name }) => name))} missing for this config.json`)

  const wanted = new Set(entries.map(({ name }) => nameInFile(name)))
  const buffers = new Set(family.buffers.map(withoutPrefix))
  const isBuffer = (name: string): boolean => buffers.has(withoutPrefix(name).replace(/\.\d+\./, '.#.'))
  const tiedHead = tensors.get(headName)
  const extra = [...tensors.keys()].filter((name) => !wanted.has(name) && !isBuffer(name) && name !== headName)
  if (extra.length) throw new FileError(`${where}: ${list(extra)} not known for this config.json`)

  const matched = new Map(entries.map((entry) => [entry, tensors.get(nameInFile(entry.name))!]))
  for (const [{ name, shape, zero }, tensor] of matched) {
    if (!sameShape(tensor.shape, shape))
      throw new ShapeError(
        `${where}: ${name} should have shape ${formatShape(shape)} by config.json, got ${formatShape(tensor.shape)}`,
      )
    if (tensor.dtype === 'i32') throw new DTypeError(`${where}: ${name} should hold floating-point numbers, got i32`)
    if (zero && tensor.data().some((value) => value !== 0))
      throw new FileError(`${where}: ${name} should be zeros, for config.json says that the model has no biases`)
  }
  if (tiedHead && !wanted.has(headName)) {
    const embedding = [...matched].find(([{ path }]) => path === 'tokenEmbedding.weight')![1]
    if (!sameShape(tiedHead.shape, embedding.shape) || !sameNumbers(tiedHead, embedding))
      throw new FileError(
        `${where}: ${headName} should equal the token embedding, for config.json says tie_word_embeddings`,
      )
  }
  return matched
}

const headName = 'lm_head.weight'

function sameNumbers(a: Tensor, b: Tensor): boolean {
  const [x, y] = [a.data(), b.data()]
  for (let i = 0; i < x.length; i++) if (!Object.is(x[i], y[i])) return false
  return true
}

const list = (names: readonly string[]): string =>
  `${names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ')} ${names.length > 1 ? 'are' : 'is'}`

/** Copies a tensor of a checkpoint to where it belongs in its parameter. */
export function copyIn({ transpose, rows, zero }: WeightEntry, tensor: Tensor, parameter: Tensor | undefined): void {
  if (zero || !parameter) return
  if (transpose) copyTransposed(tensor, parameter)
  else parameter.data().set(tensor.data(), rows ? rows[0] * sizeOf(parameter.shape.slice(1)) : 0)
}

/**
 * Tensors by field path (parameters, gradients) under the names and in the layouts of a checkpoint, one by one. They
 * belong to the caller, but may share memory with those given. Paths that `tensors` lacks are left out, as are biases
 * of models without.
 */
export function* checkpointTensors(
  operation: string,
  entries: readonly WeightEntry[],
  tensors: ReadonlyMap<string, Tensor>,
): Generator<[string, Tensor], void, undefined> {
  const paths = new Set(entries.map(({ path }) => path))
  for (const path of tensors.keys())
    if (!paths.has(path)) throw new ArgumentError(`${operation}: this model has no parameter ${path}`)
  for (const entry of entries) {
    const tensor = tensors.get(entry.path)
    if (tensor) yield [entry.name, copyOut(operation, entry, tensor)]
  }
}

function copyOut(operation: string, entry: WeightEntry, tensor: Tensor): Tensor {
  const { path, parameterShape, shape, transpose, rows } = entry
  if (!sameShape(tensor.shape, parameterShape))
    throw new ShapeError(
      `${operation}: ${path} should have shape ${formatShape(parameterShape)}, got ${formatShape(tensor.shape)}`,
    )
  if (!transpose && !rows) return new Tensor(tensor.shape, tensor.dtype, tensor.memory(operation))
  const result = allocate(operation, shape, tensor.dtype)
  if (transpose) copyTransposed(tensor, result)
  else {
    const rowSize = sizeOf(shape.slice(1))
    result.data().set(tensor.data().subarray(rows![0] * rowSize, rows![1] * rowSize))
  }
  return result
}

/** A square of this side is read by rows and written by columns while its lines stay in the first-level cache. */
const tile = 32

function copyTransposed(from: Tensor, to: Tensor): void {
  const [source, target] = [from.data(), to.data()]
  const [m, n] = from.shape as readonly [number, number]
  for (let i0 = 0; i0 < m; i0 += tile)
    for (let j0 = 0; j0 < n; j0 += tile)
      for (let i = i0; i < Math.min(m, i0 + tile); i++)
        for (let j = j0; j < Math.min(n, j0 + tile); j++) target[j * m + i] = source[i * n + j]!
}
