import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import { CharTokenizer } from '../../lib/text/char-tokenizer.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterEach(() => rm(folder, { recursive: true }))

const text = 'ba\n😀 é\t9"\\_b'

describe('CharTokenizer', () => {
  it('numbers characters in the order of their code points', () => {
    const tokenizer = CharTokenizer.train('cab\u{1F600}\uFFFDb')
    expect(tokenizer.vocabSize).toBe(5)
    expect([...tokenizer.encode('abc\uFFFD\u{1F600}')]).toEqual([0, 1, 2, 3, 4])
  })

  it('decodes what it encodes, whole and piece by piece', () => {
    const tokenizer = CharTokenizer.train(text)
    const ids = tokenizer.encode(text)
    expect(ids.length).toBe([...text].length)
    expect(tokenizer.decode(ids)).toBe(text)
    const decoder = tokenizer.decoder()
    expect([...ids].map((id) => decoder.push(id))).toEqual([...text])
    expect(decoder.flush()).toBe('')
    expect(tokenizer.encode('')).toEqual(new Int32Array(0))
    expect(tokenizer.decode([])).toBe('')
  })

  it('names a character that it does not know, and where it stands', () => {
    const tokenizer = CharTokenizer.train('ab')
    expect(() => tokenizer.encode('aé')).toThrow(
      new ArgumentError(
        'encode: the character "é" (U+00E9) at position 1 is not in the vocabulary of 2 characters: "ab"',
      ),
    )
    const many = CharTokenizer.train(String.fromCodePoint(...Array.from({ length: 300 }, (_, i) => 0x4e00 + i)))
    expect(() => many.encode('a')).toThrow('and 200 more')
  })

  it('counts positions in code units', () => {
    expect(() => CharTokenizer.train('😀').encode('😀😀x')).toThrow('position 4')
  })

  it('refuses ids that are none', () => {
    const tokenizer = CharTokenizer.train('ab')
    for (const id of [-1, 2, 0.5, NaN]) {
      expect(() => tokenizer.decode([0, id])).toThrow(ArgumentError)
      expect(() => tokenizer.decoder().push(id)).toThrow(ArgumentError)
    }
  })

  it('refuses no text, halves of characters and what is no string', () => {
    expect(() => CharTokenizer.train('')).toThrow(ArgumentError)
    expect(() => CharTokenizer.train(7 as never)).toThrow(ArgumentError)
    expect(() => CharTokenizer.train('😀a\uD83D')).toThrow('"\\ud83d" (U+D83D) at position 3 is half a character')
    expect(() => CharTokenizer.train('a').encode(null as never)).toThrow(ArgumentError)
  })
})

describe('tokenizer.json', () => {
  const file = () => join(folder, 'tokenizer.json')

  it('is saved and loaded with the same ids, in a folder that it makes', async () => {
    const tokenizer = CharTokenizer.train(text)
    const deep = join(folder, 'runs', 'a')
    await tokenizer.save(deep)
    expect(await readdir(deep)).toEqual(['tokenizer.json'])
    for (const loaded of [await CharTokenizer.load(deep), await loadTokenizer(deep)]) {
      expect(loaded.vocabSize).toBe(tokenizer.vocabSize)
      expect(loaded.encode(text)).toEqual(tokenizer.encode(text))
    }
  })

  it('is in the format of Hugging Face', async () => {
    await CharTokenizer.train('ba\n').save(folder)
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
      post_processor: null,
      decoder: { type: 'Fuse' },
      model: { type: 'WordLevel', vocab: { '\n': 0, a: 1, b: 2 }, unk_token: '<unk>' },
    })
  })

  it.each<[string, (json: any) => void, string]>([
    ['another model', (json) => (json.model.type = 'BPE'), 'got "BPE"'],
    ['no model', (json) => delete json.model, 'WordLevel model, got undefined'],
    ['no vocabulary', (json) => (json.model.vocab = {}), 'missing or empty'],
    ['words', (json) => (json.model.vocab = { ab: 0 }), 'the token "ab" is not one character'],
    ['an empty token', (json) => (json.model.vocab = { '': 0 }), 'the token "" is not one character'],
    ['half a character', (json) => (json.model.vocab = { '\uD83D': 0 }), 'is not one character'],
    ['an id twice', (json) => (json.model.vocab = { a: 0, b: 0 }), 'should be 0 to 1, each once'],
    ['an id out of range', (json) => (json.model.vocab = { a: 0, b: 2 }), 'should be 0 to 1, each once'],
    ['an id that is no number', (json) => (json.model.vocab = { a: '0' }), 'has "0"'],
    ['a huge id', (json) => (json.model.vocab = { a: 1e300 }), 'should be 0 to 0'],
    ['no pre_tokenizer', (json) => (json.pre_tokenizer = null), 'pre_tokenizer that splits'],
    ['another regex', (json) => (json.pre_tokenizer.pattern.Regex = '.'), 'pre_tokenizer that splits'],
    ['removed matches', (json) => (json.pre_tokenizer.behavior = 'Removed'), 'pre_tokenizer that splits'],
    ['a decoder with spaces', (json) => (json.decoder = null), 'decoder Fuse'],
    ['a normalizer', (json) => (json.normalizer = { type: 'Lowercase' }), 'a normalizer would change the text'],
    ['a post_processor', (json) => (json.post_processor = { type: 'X' }), 'a post_processor would change the text'],
    ['added tokens', (json) => (json.added_tokens = [{ id: 3 }]), 'added tokens would change the text'],
  ])('%s is refused', async (_, damage, message) => {
    await CharTokenizer.train('ab').save(folder)
    const json = JSON.parse(await readFile(file(), 'utf8'))
    damage(json)
    await writeFile(file(), JSON.stringify(json))
    const error = (await CharTokenizer.load(folder).catch((e: unknown) => e)) as Error
    expect(error).toBeInstanceOf(FileError)
    expect(error.message).toContain(message)
    expect(error.message).toContain(file())
  })

  it('that is missing, no JSON or no object is refused', async () => {
    await expect(CharTokenizer.load(folder)).rejects.toThrow(`CharTokenizer.load: ${file()}: no such file or folder`)
    await writeFile(file(), '{')
    await expect(CharTokenizer.load(folder)).rejects.toThrow('not valid JSON')
    await writeFile(file(), '[]')
    await expect(CharTokenizer.load(folder)).rejects.toThrow('expected a JSON object, got an array')
    await writeFile(file(), 'null')
    await expect(loadTokenizer(folder)).rejects.toThrow('expected a JSON object, got null')
  })

  it.each(['toString', undefined, 3])('of type %s: loadTokenizer says what is supported', async (type) => {
    await writeFile(file(), JSON.stringify({ model: { type } }))
    const error = await loadTokenizer(folder).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(FileError)
    expect((error as Error).message).toContain('one of BPE, WordPiece, Unigram, WordLevel')
  })
})

describe('a batch', () => {
  it('is one row for each text, with offsets', () => {
    const tokenizer = CharTokenizer.train('a😀b')
    expect(tokenizer(['ab', ''], { returnOffsets: true })).toEqual({
      inputIds: [[0, 1], []],
      offsets: [
        [
          [0, 1],
          [1, 2],
        ],
        [],
      ],
      wordIds: [[0, 1], []],
      sequenceIds: [[0, 0], []],
    })
    expect(tokenizer('😀b', { returnOffsets: true }).offsets).toEqual([
      [
        [0, 2],
        [2, 3],
      ],
    ])
    expect(tokenizer.tokenToId('b')).toBe(1)
    expect(tokenizer.idToToken(2)).toBe('😀')
    expect(() => tokenizer(['ab', 'abc'])).toThrow(ArgumentError)
  })
})
