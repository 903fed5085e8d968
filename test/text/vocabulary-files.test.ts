import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import type { Tokenizer } from '../../lib/text/tokenizer.ts'

interface Golden {
  readonly files: Readonly<Record<string, string>>
  readonly config: object
  readonly ids: number[][]
  readonly pair: number[] | null
  /** Of the same texts as targets, where those are cut otherwise. */
  readonly targets?: number[][] | null
  readonly decoded: string[]
}
// test/reference/tokenizers/make_vocabulary_goldens.py
const { texts, kinds } = JSON.parse(
  gunzipSync(readFileSync(new URL('../reference/tokenizers/vocabularies.json.gz', import.meta.url))).toString(),
) as { texts: string[]; kinds: Record<string, Golden> }

const write = (folder: string, files: Readonly<Record<string, Buffer | string>>): Promise<void[]> =>
  Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(folder, name), content)))

describe.each(Object.entries(kinds))('%s without tokenizer.json', (_, golden) => {
  const files = Object.entries(golden.files).map(([name, content]) => [name, Buffer.from(content, 'base64')] as const)
  let folder: string
  let tokenizer: Tokenizer

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-vocabulary-'))
    await write(folder, { ...Object.fromEntries(files), 'tokenizer_config.json': JSON.stringify(golden.config) })
    tokenizer = await loadTokenizer(folder)
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('gives the ids of transformers', () => {
    const seen = texts.map((text, i) => ({ text, ids: [...tokenizer.encode(text)], expected: golden.ids[i] }))
    expect(seen.filter(({ ids, expected }) => String(ids) !== String(expected))).toEqual([])
    if (golden.pair) expect(tokenizer('one two', { textPair: 'three' }).inputIds).toEqual([golden.pair])
  })

  it('gives labels of targets', () => {
    const { inputIds, labels } = tokenizer([...texts], { textTarget: [...texts] })
    expect(labels).toEqual(golden.targets ?? inputIds)
    expect(() => tokenizer('a', { textTarget: ['a', 'b'] })).toThrow('1 texts, but 2 of textTarget')
  })

  it('gives the same text back', () => {
    const options = { skipSpecialTokens: true, cleanUpTokenizationSpaces: false }
    const seen = golden.ids.map((ids, i) => ({
      ids,
      text: tokenizer.decode(ids, options),
      expected: golden.decoded[i],
    }))
    expect(seen.filter(({ text, expected }) => text.trim() !== expected!.trim())).toEqual([])
  })

  it('is saved so that it comes back', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'heedful-vocabulary-'))
    await tokenizer.save(copy)
    const back = await loadTokenizer(copy)
    for (const text of texts) expect([...back.encode(text)]).toEqual([...tokenizer.encode(text)])
    await rm(copy, { recursive: true })
  })

  it('says what is damaged', async () => {
    const broken = await mkdtemp(join(tmpdir(), 'heedful-vocabulary-'))
    for (const [name] of files) {
      await write(broken, { ...Object.fromEntries(files), [name]: name.endsWith('.txt') ? Buffer.of(0xff) : '[1' })
      await expect(loadTokenizer(broken)).rejects.toMatchObject({
        code: 'HEEDFUL_FILE',
        message: expect.stringContaining(broken),
      })
    }
    await rm(broken, { recursive: true })
  })
})
