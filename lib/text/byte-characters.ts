import { AlignedTextBuilder, type AlignedText } from './aligned-text.ts'

/**
 * The 256 characters that stand for bytes in byte-level vocabularies (GPT-2's `bytes_to_unicode`): printable Latin-1
 * characters for themselves, the others moved up to U+0100 in order, so that a space is `Ġ`.
 */
export const byteCharacters: readonly string[] = (() => {
  const isPrintable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 255 && byte !== 173)
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
})()

/** The byte that a character stands for, or undefined. */
export const byteOf: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]))

const encoder = new TextEncoder()

/** The bytes of a text in UTF-8 as characters; each stands for its whole character. */
export function toByteCharacters(text: AlignedText): AlignedText {
  const { text: source } = text
  // oxlint-disable-next-line no-control-regex
  if (/^[\x00-\x7f]*$/.test(source)) {
    if (/^[!-~]*$/.test(source)) return text
    let made = ''
    for (let i = 0; i < source.length; i++) made += byteCharacters[source.charCodeAt(i)]!
    return text.withText(made)
  }
  const made = new AlignedTextBuilder(text)
  let position = 0
  for (const character of source) {
    const end = position + character.length
    let bytes = ''
    for (const byte of encoder.encode(character)) bytes += byteCharacters[byte]!
    made.put(bytes, text.startOf(position), text.endOf(end - 1))
    position = end
  }
  return made.build()
}
