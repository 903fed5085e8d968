import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import { tokenizerFromSentencePiece } from '../../lib/text/sentencepiece.ts'

interface Golden {
  readonly model: string
  readonly ids: number[][]
  readonly decoded: string[]
  readonly drawn: [ids: number[], text: string][]
  readonly special: Record<'bos' | 'eos' | 'unk' | 'pad', number>
}
const { texts, models } = JSON.parse(
  gunzipSync(readFileSync(new URL('../reference/tokenizers/sentencepiece.json.gz', import.meta.url))).toString(),
) as { texts: string[]; models: Record<string, Golden> }

describe.each(Object.entries(models))('%s, as SentencePiece', (name, golden) => {
  const tokenizer = tokenizerFromSentencePiece(Buffer.from(golden.model, 'base64'), {}, name)
  const special = new Set(tokenizer.specialTokenIds)
  // SentencePiece takes the names of special tokens as text.
  const each = texts.map((text, i) => ({ text, i })).filter(({ text }) => !/<\/?(?:s|unk|pad|ctrl)>/.test(text))

  it('gives the same ids', () => {
    const seen = each.map(({ text, i }) => ({ text, ids: [...tokenizer.encode(text)], expected: golden.ids[i] }))
    expect(seen.filter(({ ids, expected }) => String(ids) !== String(expected))).toEqual([])
  })

  it('gives the same text back, whole and in pieces', () => {
    const known = [...each.map(({ i }) => [golden.ids[i]!, golden.decoded[i]!] as const), ...golden.drawn]
    const plain = known.filter(([ids]) => ids.every((id) => !special.has(id) || id === golden.special.unk))
    expect(plain.length).toBeGreaterThan(200)
    for (const [ids, text] of plain) {
      expect(tokenizer.decode(ids), String(ids)).toBe(text)
      const decoder = tokenizer.decoder()
      expect(ids.map((id) => decoder.push(id)).join('') + decoder.flush()).toBe(text)
    }
  })

  it('knows its special tokens', () => {
    const { bosTokenId, eosTokenId, unkTokenId, padTokenId = -1 } = tokenizer
    expect({ bos: bosTokenId, eos: eosTokenId, unk: unkTokenId, pad: padTokenId }).toEqual(golden.special)
    expect([...tokenizer.encode('a</s>')].at(-1)).toBe(golden.special.eos)
  })

  it('tells where tokens come from', () => {
    const text = 'Hello,  wörld! 你好 😀'
    const { offsets } = tokenizer(text, { returnOffsets: true })
    let last = 0
    for (const [start, end] of offsets![0]!) {
      expect(start).toBeLessThan(end)
      expect(start).toBeGreaterThanOrEqual(last - 2)
      last = end
    }
    expect(last).toBe(text.length)
  })
})

describe('a .model file', () => {
  it('is opened in a folder, and saved as a tokenizer.json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeFile(join(folder, 'tokenizer.model'), Buffer.from(models['llama']!.model, 'base64'))
    await writeFile(
      join(folder, 'tokenizer_config.json'),
      JSON.stringify({ add_bos_token: true, tokenizer_class: 'X' }),
    )
    const tokenizer = await loadTokenizer(folder)
    expect([...tokenizer.encode('Hello')][0]).toBe(1)
    const copy = join(folder, 'copy')
    await tokenizer.save(copy)
    const again = await loadTokenizer(copy)
    const text = 'The quick brown fox, 1234.  Two spaces; é 😀'
    expect(again.encode(text)).toEqual(tokenizer.encode(text))
    expect(again.decode(again.encode(text), { skipSpecialTokens: true })).toBe(text)
    await writeFile(join(folder, 'tokenizer.model'), 'this is none')
    await expect(loadTokenizer(folder)).rejects.toThrow(FileError)
    await rm(folder, { recursive: true })
  })

  it('that is damaged ends in a typed error or in a tokenizer', () => {
    const original = Buffer.from(models['llama']!.model, 'base64')
    let seed = 1
    const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below
    let refused = 0
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(i % 3 ? original : original.subarray(0, random(original.length)))
      for (let n = i % 3 ? 1 + random(5) : 0; n > 0; n--) bytes[random(bytes.length)] = random(256)
      try {
        tokenizerFromSentencePiece(bytes, {}, 'a file').encode('Hello, wörld! 😀')
      } catch (error) {
        if (!(error instanceof FileError || error instanceof ArgumentError)) throw error
        refused++
      }
    }
    expect(refused).toBeGreaterThan(20)
  })

  it.each(['', '\0', '\xff'.repeat(20), '\x0a\xff\xff\xff\xff\x7f'])('%j is refused', (text) => {
    expect(() => tokenizerFromSentencePiece(Buffer.from(text, 'latin1'), {}, 'a file')).toThrow(FileError)
  })
})
