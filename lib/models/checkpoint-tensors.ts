import type { CheckpointTensor } from '../checkpoint/checkpoint.ts'
import { DTypeError, FileError, ShapeError } from '../errors.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { withoutPrefix as withoutPrefixOf, type Family, type WeightEntry } from './families/index.ts'

/** A tensor of a checkpoint, as it is told before it is read. */
type Told = Pick<CheckpointTensor, 'shape' | 'dtype' | 'fileType'>

export interface MatchedTensors {
  /** The name in the checkpoint of each entry. */
  readonly matched: ReadonlyMap<WeightEntry, string>
  /** What is there a second time, and has to hold the same numbers: the model has it once. */
  readonly copies: readonly TensorCopy[]
}

export interface TensorCopy {
  readonly name: string
  readonly original: WeightEntry
  /** What is to be thrown when it doesn't. */
  readonly error: () => FileError
}

/**
 * Finds the tensor of each entry among those of a checkpoint. Throws FileError for tensors that are missing, that no
 * model of the family has, or that contradict each other, ShapeError and DTypeError for those of the wrong kind; all name the
 * tensor. `where` begins their messages. Nothing is read.
 */
export function matchTensors(
  family: Family,
  entries: readonly WeightEntry[],
  tensors: ReadonlyMap<string, Told>,
  where: string,
): MatchedTensors {
  const withoutPrefix = (name: string): string => withoutPrefixOf(family, name)
  const prefixes = new Set([family.prefix, ...Object.values(family.heads ?? {}).flatMap(({ prefix }) => prefix ?? [])])
  const own = new Set(entries.map(({ name }) => name))
  // Files that have a tensor once may have it by the name of a copy.
  const copiesOf = (name: string): string[] =>
    Object.entries(family.copies ?? {}).flatMap(([copy, of]) => (of === name && !own.has(copy) ? [copy] : []))
  const nameInFile = (name: string): string =>
    [name, ...olderSpellings(family, name), ...copiesOf(name)]
      .flatMap((one) => [one, withoutPrefix(one), ...[...prefixes].map((prefix) => prefix + withoutPrefix(one))])
      .find((one) => tensors.has(one)) ?? withoutPrefix(name)
  const missing = entries.filter(({ name }) => !tensors.has(nameInFile(name)))
  if (missing.length)
    throw new FileError(`${where}: ${list(missing.map(({ name }) => name))} missing for this config.json`)

  const matched = new Map(entries.map((entry) => [entry, nameInFile(entry.name)]))
  const wanted = new Set(matched.values())
  // A task takes no notice of what the checkpoint has for others.
  const ofHeads = Object.values(family.heads ?? {}).flatMap((head) => Object.keys(head.weights))
  const ignored = new Set([...(family.ignored ?? []), ...ofHeads].map(withoutPrefix))
  const copies = new Map(Object.entries(family.copies ?? {}).map((pair) => pair.map(withoutPrefix) as [string, string]))
  const extra = [...tensors.keys()].filter((name) => {
    const known = withoutPrefix(name)
    return !wanted.has(name) && !ignored.has(known.replace(/\.\d+\./g, '.#.')) && !copies.has(known)
  })
  if (extra.length) throw new FileError(`${where}: ${list(extra)} not known for this config.json`)

  for (const [{ name, shape }, inFile] of matched) {
    const told = tensors.get(inFile)!
    if (!sameShape(told.shape, shape))
      throw new ShapeError(
        `${where}: ${name} should have shape ${formatShape(shape)} by config.json, got ${formatShape(told.shape)}`,
      )
    if (told.dtype === undefined || told.dtype === 'i32')
      throw new DTypeError(`${where}: ${name} should hold floating-point numbers, got ${told.fileType}`)
  }
  return { matched, copies: findCopies() }

  function findCopies(): TensorCopy[] {
    const byName = new Map([...matched.keys()].map((entry) => [withoutPrefix(entry.name), entry]))
    const found: TensorCopy[] = []
    for (const [name, told] of tensors) {
      const of = wanted.has(name) ? undefined : copies.get(withoutPrefix(name))
      // What belongs to another task's head is not looked at.
      if (of === undefined || ignored.has(of)) continue
      const original = byName.get(of)
      const error = (): FileError =>
        new FileError(
          `${where}: ${name} should equal ${of}, for config.json says that the model has it once (tie_word_embeddings)`,
        )
      if (!original?.parameter || !sameShape(told.shape, original.shape) || told.dtype === undefined) throw error()
      found.push({ name, original, error })
    }
    return found
  }
}

const olderSpellings = ({ olderNames = {} }: Family, name: string): string[] =>
  Object.entries(olderNames).flatMap(([end, older]) => (name.endsWith(end) ? [name.slice(0, -end.length) + older] : []))

const list = (names: readonly string[]): string =>
  `${names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ')} ${names.length > 1 ? 'are' : 'is'}`
