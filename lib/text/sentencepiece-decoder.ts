import type { Decoder } from './decoders.ts'
import { pieceType, type SentencePieceModel } from './sentencepiece-model.ts'

/** SentencePieceProcessor::Decode: bytes that are no UTF-8 are U+FFFD each; special tokens are shown, as everywhere here. */
export function sentencePieceDecoder(model: SentencePieceModel): Decoder {
  const types = new Map(model.pieces.map(({ piece, type }) => [piece, type]))
  const drops = model.addDummyPrefix || model.removeExtraWhitespaces
  return () => {
    let bytes: number[] = []
    let atBeginning = true
    const flush = (isEnd: boolean): string[] => {
      const [text, rest] = decodeBytes(bytes, isEnd)
      bytes = rest
      if (text !== '') atBeginning = false
      return text === '' ? [] : [text]
    }
    return {
      push: (token) => {
        const type = types.get(token)
        if (type === pieceType.byte) {
          bytes.push(parseInt(token.slice(3, 5), 16))
          return flush(false)
        }
        const before = flush(true)
        if (type === pieceType.control) return [...before, token]
        let text = type === pieceType.unknown ? model.unknownSurface : token
        if (atBeginning && drops && text.startsWith('▁')) {
          text = text.slice(1)
          // Then the beginning goes on only where all spaces there are taken away.
          if (!model.removeExtraWhitespaces) atBeginning = false
        }
        if (text !== '') atBeginning = false
        return [...before, text.replaceAll('▁', ' ')]
      },
      flush: () => flush(true),
    }
  }
}

/** What is certain of bytes, and those that are not yet. */
function decodeBytes(bytes: readonly number[], isEnd: boolean): [text: string, rest: number[]] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  let at = 0
  while (at < bytes.length) {
    const first = bytes[at]!
    const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
    if (
      !isEnd &&
      first >= 0xc2 &&
      first < 0xf5 &&
      at + length > bytes.length &&
      bytes.slice(at + 1).every((b) => b >> 6 === 2)
    )
      break
    try {
      text += decoder.decode(Uint8Array.from(bytes.slice(at, at + length)))
      at += length
    } catch {
      text += '\ufffd'
      at++
    }
  }
  return [text, bytes.slice(at)]
}
