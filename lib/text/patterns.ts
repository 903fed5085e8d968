import { SplitPreTokenizer } from './huggingface.ts'
import { FileError } from '../errors.ts'
import type { JsonFields } from './json-fields.ts'

const longestPattern = 4096

/**
 * The `pattern` of a component: `{ "String": … }`, or `{ "Regex": … }` in the syntax of Oniguruma, which
 * `@huggingface/tokenizers` writes anew for JavaScript. Throws FileError for what can not be translated, and for a
 * repetition inside a repetition, as in `(a+)+`, which may take time without end.
 */
export function readPattern(fields: JsonFields): RegExp {
  const pattern = fields.raw('pattern')
  if (typeof pattern === 'string') return literal(pattern)
  const { where } = fields
  const inside = fields.object('pattern')
  if (inside.raw('String') !== undefined) return literal(inside.string('String'))
  const regex = inside.string('Regex')
  if (regex.length > longestPattern)
    throw new FileError(`${where}: a pattern of ${regex.length} characters, expected at most ${longestPattern}`)
  if (repeatsRepetition(regex))
    throw new FileError(`${where}: the pattern ${JSON.stringify(regex)} repeats a repetition`)
  try {
    return new SplitPreTokenizer({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false })
      .pattern!
  } catch (cause) {
    throw new FileError(
      `${where}: the pattern ${JSON.stringify(regex)} is not supported: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
}

const literal = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'gu')

/** True if a group that repeats something without a limit is itself repeated without a limit. */
function repeatsRepetition(regex: string): boolean {
  const unlimited = /^(?:[*+]|\{\d*,\})/
  const groups: boolean[] = [false]
  let inClass = 0
  for (let i = 0; i < regex.length; i++) {
    const char = regex[i]!
    if (char === '\\') i++
    else if (char === '[') inClass++
    else if (char === ']') inClass = Math.max(0, inClass - 1)
    else if (inClass > 0) continue
    else if (char === '(') groups.push(false)
    else if (char === ')') {
      const repeats = groups.pop() ?? false
      if (groups.length === 0) groups.push(false)
      if (repeats && unlimited.test(regex.slice(i + 1, i + 20))) return true
      groups[groups.length - 1] ||= repeats
    } else if (unlimited.test(regex.slice(i, i + 20))) groups[groups.length - 1] = true
  }
  return false
}
