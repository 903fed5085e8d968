import { describe, expect, it } from 'vitest'
import { FileError } from '../../lib/errors.ts'
import { tokenizerFromGguf } from '../../lib/text/gguf-vocabulary.ts'
import { texts, tokenizers } from './goldens.ts'

type Metadata = Record<string, any>
const byId = (vocab: Record<string, number>): string[] => Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!)
const typesOf = (tokens: string[], special: string[]): number[] =>
  tokens.map((token) => (special.includes(token) ? 3 : 1))

/** What llama.cpp's converter would write for a tokenizer.json. */
function gpt2(): Metadata {
  const { model } = tokenizers['gpt2']!.tokenizer
  const tokens = byId(model.vocab)
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': typesOf(tokens, ['<|endoftext|>']),
    'tokenizer.ggml.merges': model.merges.map((merge: string | string[]) =>
      typeof merge === 'string' ? merge : merge.join(' '),
    ),
    'tokenizer.ggml.bos_token_id': tokens.indexOf('<|endoftext|>'),
    'tokenizer.ggml.eos_token_id': tokens.indexOf('<|endoftext|>'),
    'tokenizer.chat_template': '{{ bos_token }}{{ messages[0].content }}',
  }
}

function bert(): Metadata {
  const words = byId(tokenizers['bert']!.tokenizer['model'].vocab)
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
  const tokens = words.map((word) =>
    special.includes(word) ? word : word.startsWith('##') ? word.slice(2) : `▁${word}`,
  )
  return {
    'tokenizer.ggml.model': 'bert',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': Int32Array.from(typesOf(tokens, special)),
    'tokenizer.ggml.unknown_token_id': tokens.indexOf('[UNK]'),
    'tokenizer.ggml.seperator_token_id': tokens.indexOf('[SEP]'),
    'tokenizer.ggml.cls_token_id': tokens.indexOf('[CLS]'),
    'tokenizer.ggml.padding_token_id': tokens.indexOf('[PAD]'),
    'tokenizer.ggml.mask_token_id': tokens.indexOf('[MASK]'),
  }
}

const pieces = [
  '<unk>',
  '<s>',
  '</s>',
  '<0x41>',
  '<0xC3>',
  '<0xA9>',
  '▁',
  'a',
  'b',
  'c',
  'ab',
  'bc',
  'abc',
  '▁a',
  'aa',
  'aaa',
  '<x>',
]
const llama = (): Metadata => ({
  'tokenizer.ggml.model': 'llama',
  'tokenizer.ggml.tokens': pieces,
  'tokenizer.ggml.scores': [0, 0, 0, 0, 0, 0, -9, -8, -8, -8, -1, -2, -3, -4, -5, -6, 0],
  'tokenizer.ggml.token_type': [2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4],
  'tokenizer.ggml.bos_token_id': 1,
  'tokenizer.ggml.eos_token_id': 2,
  'tokenizer.ggml.unknown_token_id': 0,
})

describe('tokenizerFromGguf', () => {
  it.each([
    ['gpt2', gpt2()],
    ['bert', bert()],
  ])('%s numbers hard texts as the tokenizer.json', (name, metadata) => {
    const tokenizer = tokenizerFromGguf(metadata)
    const golden = tokenizers[name]!
    for (const [i, text] of texts.entries()) {
      expect([...tokenizer.encode(text)], text).toEqual(golden.ids[i])
      expect(tokenizer.decode(golden.ids[i]!)).toBe(golden.decoded[i])
    }
    if (name === 'bert') expect(tokenizer('a', { textPair: 'b' }).tokenTypeIds).toEqual([[0, 0, 0, 1, 1]])
    else
      expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'x' }], { tokenize: false })).toBe('<|endoftext|>x')
  })

  it('merges SentencePiece’s pieces by score, the leftmost of equals first', () => {
    const tokenizer = tokenizerFromGguf(llama())
    const tokens = (text: string): (string | undefined)[] =>
      [...tokenizer.encode(text)].map((id) => tokenizer.idToToken(id))
    expect(tokens('abc')).toEqual(['<s>', '▁', 'abc'])
    // aaaaa: the pairs aa|aa|a, then what is left of aa+a and a+aa, which both make aaa.
    expect(tokens('baaaaa')).toEqual(['<s>', '▁', 'b', 'aa', 'aaa'])
    expect(tokens('Aé z')).toEqual(['<s>', '▁', '<0x41>', '<0xC3>', '<0xA9>', '▁', '<unk>'])
    expect(tokens('a<x>a')).toEqual(['<s>', '▁a', '<x>', '▁a'])
    expect(tokens('</s>')).toEqual(['<s>', '</s>'])
    expect(tokenizer.decode(tokenizer.encode('Aé abc'), { skipSpecialTokens: true })).toBe('Aé abc')
    expect({ ...tokenizer }).toMatchObject({ bosTokenId: 1, eosTokenId: 2, unkTokenId: 0 })
  })

  it('adds what the metadata says', () => {
    const tokens = (more: Metadata): number[] => [...tokenizerFromGguf({ ...llama(), ...more }).encode('b')]
    expect(tokens({ 'tokenizer.ggml.add_eos_token': true })).toEqual([1, 6, 8, 2])
    expect(tokens({ 'tokenizer.ggml.add_bos_token': false })).toEqual([6, 8])
    expect(tokens({ 'tokenizer.ggml.add_space_prefix': false })).toEqual([1, 8])
  })

  it.each<[string, Metadata, string]>([
    ['no model', {}, 'tokenizer.ggml.tokens should be a list of texts, got undefined'],
    ['an unknown model', { ...llama(), 'tokenizer.ggml.model': 'rwkv' }, 'should be one of llama, gpt2, bert'],
    ['an unknown cut', { ...gpt2(), 'tokenizer.ggml.pre': 'new' }, 'tokenizer.ggml.pre should be one of gpt-2'],
    ['no scores', { ...llama(), 'tokenizer.ggml.scores': undefined }, 'scores are missing'],
    ['too few scores', { ...llama(), 'tokenizer.ggml.scores': [1, 2] }, 'scores should be 17 numbers'],
    ['wrong types', { ...llama(), 'tokenizer.ggml.token_type': pieces }, 'token_type should be 17 numbers'],
    ['an id that is none', { ...llama(), 'tokenizer.ggml.bos_token_id': 99 }, 'bos_token_id should be below 17'],
    ['no merges', { ...gpt2(), 'tokenizer.ggml.merges': undefined }, 'merges should be a list'],
    ['a flag that is none', { ...llama(), 'tokenizer.ggml.add_bos_token': 1 }, 'should be true or false'],
    ['a template that is none', { ...llama(), 'tokenizer.chat_template': 7 }, 'chat_template should be'],
    ['tokens that are none', { ...llama(), 'tokenizer.ggml.tokens': [1] }, 'should be a list of texts'],
    ['no unknown token', { ...bert(), 'tokenizer.ggml.unknown_token_id': undefined }, 'unknown_token_id is missing'],
  ])('refuses %s', (_, metadata, message) => {
    const make = (): unknown => tokenizerFromGguf(metadata)
    expect(make).toThrow(FileError)
    expect(make).toThrow(message)
  })
})
