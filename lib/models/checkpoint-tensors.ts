import { DTypeError, FileError, ShapeError } from '../errors.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Family, WeightEntry } from './families/index.ts'

/**
 * Finds the tensor of each entry among those of a checkpoint. Throws FileError for tensors that are missing, that no
 * model of the family has, or that contradict each other, ShapeError and DTypeError for those of the wrong kind; all name the
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
  // A task takes no notice of what the checkpoint has for others.
  const ofHeads = Object.values(family.heads ?? {}).flatMap((head) => Object.keys(head.weights))
  const ignored = new Set([...(family.ignored ?? []), ...ofHeads].map(withoutPrefix))
  const copies = new Map(Object.entries(family.copies ?? {}).map((pair) => pair.map(withoutPrefix) as [string, string]))
  const extra = [...tensors.keys()].filter((name) => {
    const known = withoutPrefix(name)
    return !wanted.has(name) && !ignored.has(known.replace(/\.\d+\./g, '.#.')) && !copies.has(known)
  })
  if (extra.length) throw new FileError(`${where}: ${list(extra)} not known for this config.json`)

  const matched = new Map(entries.map((entry) => [entry, tensors.get(nameInFile(entry.name))!]))
  for (const [{ name, shape, parameter }, tensor] of matched) {
    if (!sameShape(tensor.shape, shape))
      throw new ShapeError(
        `${where}: ${name} should have shape ${formatShape(shape)} by config.json, got ${formatShape(tensor.shape)}`,
      )
    if (tensor.dtype === 'i32') throw new DTypeError(`${where}: ${name} should hold floating-point numbers, got i32`)
    if (!parameter && tensor.data().some((value) => value !== 0))
      throw new FileError(`${where}: ${name} should be zeros, for config.json says that the model has no biases`)
  }
  checkCopies()
  return matched

  /** What is there twice has to be the same: the model has it once. */
  function checkCopies(): void {
    const byName = new Map([...matched].map(([{ name }, tensor]) => [withoutPrefix(name), tensor]))
    for (const [name, tensor] of tensors) {
      const original = wanted.has(name) ? undefined : copies.get(withoutPrefix(name))
      // What belongs to another task's head is not looked at.
      const same = original === undefined || ignored.has(original) ? tensor : byName.get(original)
      if (!same || !sameShape(tensor.shape, same.shape) || !sameNumbers(tensor, same))
        throw new FileError(
          `${where}: ${name} should equal ${original}, for config.json says that the model has it once (tie_word_embeddings)`,
        )
    }
  }
}

function sameNumbers(a: Tensor, b: Tensor): boolean {
  if (a === b) return true
  const [x, y] = [a.data(), b.data()]
  for (let i = 0; i < x.length; i++) if (!Object.is(x[i], y[i])) return false
  return true
}

const list = (names: readonly string[]): string =>
  `${names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ')} ${names.length > 1 ? 'are' : 'is'}`
