import { AlignedTextBuilder, type Normalizer } from './aligned-text.ts'
import { CharsMap } from './charsmap.ts'
import { PieceTrie } from './piece-trie.ts'
import { pieceType, type SentencePieceModel } from './sentencepiece-model.ts'

const utf8 = new TextEncoder()

/** Normalizer::Normalize of SentencePiece: the longest key of the charsmap at each place, then spaces. */
export function sentencePieceNormalizer(model: SentencePieceModel, where: string): Normalizer {
  const map = model.charsmap && new CharsMap(model.charsmap, where)
  const symbols = new PieceTrie()
  for (const [id, { piece, type }] of model.pieces.entries()) if (type === pieceType.userDefined) symbols.set(piece, id)
  return (text) => {
    const source = text.text
    const bytes = map && utf8.encode(source)
    const made = new AlignedTextBuilder(text)
    let byteAt = 0
    let wasSpace = model.removeExtraWhitespaces
    let isEmpty = true
    // Spaces are written when something follows them, so that none is left at the end.
    let pending: [start: number, end: number][] = []
    for (let at = 0; at < source.length;) {
      const character = String.fromCodePoint(source.codePointAt(at)!)
      let end = 0
      symbols.forEachPrefix(source, at, (to) => (end = to))
      let normal = end > 0 ? source.slice(at, end) : character
      let byteLength = Buffer.byteLength(normal)
      if (end === 0) {
        end = at + character.length
        let longest = 0
        let found = -1
        if (map) map.forEachPrefix(bytes!, byteAt, (length, where) => ((longest = length), (found = where), true))
        if (longest > 0) {
          normal = map!.replacement(found)
          byteLength = longest
          for (
            let left = longest - utf8Length(character);
            left > 0;
            end += String.fromCodePoint(source.codePointAt(end)!).length
          )
            left -= utf8Length(String.fromCodePoint(source.codePointAt(end)!))
        }
      }
      const place = [text.startOf(at), text.endOf(end - 1)] as const
      let output = wasSpace ? normal.replace(/^ +/, '') : normal
      if (output !== '') {
        wasSpace = model.removeExtraWhitespaces && output.endsWith(' ')
        const trailing = model.removeExtraWhitespaces ? / *$/.exec(output)![0].length : 0
        output = output.slice(0, output.length - trailing)
        if (output !== '') {
          if (isEmpty && model.addDummyPrefix) made.put('▁', ...place)
          isEmpty = false
          for (const space of pending) made.put('▁', ...space)
          pending = []
          made.put(output.replaceAll(' ', '▁'), ...place)
        }
        for (let i = 0; i < trailing; i++) pending.push([...place])
      }
      at = end
      byteAt += byteLength
    }
    const normalized = made.build()
    // Marks that stood in the text as such, too.
    const kept = model.removeExtraWhitespaces ? normalized.text.replace(/▁+$/, '').length : normalized.text.length
    return normalized.slice(0, kept)
  }
}

const utf8Length = (text: string): number => Buffer.byteLength(text)
