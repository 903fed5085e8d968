import { checkInteger, FileError } from '../errors.ts'

/** Names of the classes that a config.json tells: id2label, else num_labels of them, else 2, as transformers has it. */
export function labelsOf(json: Readonly<Record<string, unknown>>, where: string): readonly string[] {
  const { id2label, num_labels: count } = json
  if (id2label !== undefined && id2label !== null) {
    const names = Object.keys(Object(id2label)).map((_, id) => (id2label as Record<string, unknown>)[String(id)])
    if (!names.length || !names.every((name) => typeof name === 'string'))
      throw new FileError(`${where}: id2label should give a name to each of 0, 1, …`)
    return names as string[]
  }
  const size = count === undefined || count === null ? 2 : checkInteger(where, 'num_labels', count, 1, 1 << 20)
  return Array.from({ length: size }, (_, id) => `LABEL_${id}`)
}
