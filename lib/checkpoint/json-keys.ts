const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09

/**
 * Says what is wrong with the keys of a JSON text that `JSON.parse` would let through or choke on: a key twice in one
 * object, braces and brackets nested deeper than `maxDepth`, more than `maxKeys` keys. undefined when nothing is.
 * Looks at strings and brackets only, so a text that passes may still be invalid JSON.
 */
export function findKeyProblem(text: string, maxDepth: number, maxKeys: number): string | undefined {
  const open: Set<string>[] = []
  let keys = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '{' || c === '[') {
      if (open.push(new Set()) > maxDepth) return `nested deeper than ${maxDepth} levels`
    } else if (c === '}' || c === ']') {
      open.pop()
    } else if (c === '"') {
      const end = endOfString(text, i)
      let after = end
      while (isSpace(text.charCodeAt(after))) after++
      if (text.charCodeAt(after) === colon) {
        if (++keys > maxKeys) return `more than ${maxKeys} keys`
        const key = unescaped(text.slice(i, end))
        if (open.at(-1)?.has(key)) return `the key ${JSON.stringify(key)} comes twice`
        open.at(-1)?.add(key)
      }
      i = end - 1
    }
  }
  return undefined
}

/** The index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1
  while (i < text.length && text.charCodeAt(i) !== quote) i += text.charCodeAt(i) === backslash ? 2 : 1
  return Math.min(i + 1, text.length)
}

function unescaped(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1)
  try {
    return JSON.parse(literal) as string
  } catch {
    return literal
  }
}
