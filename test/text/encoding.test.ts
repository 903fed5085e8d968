import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { PretrainedTokenizer } from '../../lib/text/pretrained-tokenizer.ts'
import { tokenizers } from './goldens.ts'

const open = (name: string, config: Record<string, unknown> = {}): PretrainedTokenizer =>
  new PretrainedTokenizer({ tokenizer: structuredClone(tokenizers[name]!.tokenizer), config }, name)

describe('a batch', () => {
  const tokenizer = open('bert', {
    pad_token: '[PAD]',
    sep_token: { content: '[SEP]' },
    model_max_length: 6,
    unk_token: 'no such token',
  })
  const [cls, sep, pad] = ['[CLS]', '[SEP]', '[PAD]'].map((token) => tokenizer.tokenToId(token)!) as [
    number,
    number,
    number,
  ]
  const a = [...tokenizer.encode('the man', { addSpecialTokens: false })]
  const b = [...tokenizer.encode('a year of war', { addSpecialTokens: false })]

  it('is ragged', () => {
    expect([a.length, b.length]).toEqual([2, 4])
    expect(tokenizer(['the man', 'a year of war'])).toEqual({
      inputIds: [
        [cls, ...a, sep],
        [cls, ...b, sep],
      ],
      tokenTypeIds: [
        [0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
      ],
    })
    expect(tokenizer('the man', { addSpecialTokens: false }).inputIds).toEqual([a])
    expect(tokenizer([])).toEqual({ inputIds: [], tokenTypeIds: [] })
    expect(tokenizer('').inputIds).toEqual([[cls, sep]])
  })

  it('is padded on request', () => {
    const right = tokenizer(['the man', 'a year of war'], { padding: true, returnOffsets: true })
    expect(right.inputIds).toEqual([
      [cls, ...a, sep, pad, pad],
      [cls, ...b, sep],
    ])
    expect(right.attentionMask).toEqual([
      [1, 1, 1, 1, 0, 0],
      [1, 1, 1, 1, 1, 1],
    ])
    expect(right.offsets![0]!.length).toBe(6)
    const left = tokenizer(['the man'], { padding: 'maxLength', paddingSide: 'left', maxLength: 5 })
    expect(left).toEqual({
      inputIds: [[pad, cls, ...a, sep]],
      attentionMask: [[0, 1, 1, 1, 1]],
      tokenTypeIds: [[0, 0, 0, 0, 0]],
    })
    expect(tokenizer('the man', { padding: 'maxLength' }).inputIds[0]!.length).toBe(6)
    expect(() => open('bert')('a', { padding: true })).toThrow('padding needs a token to fill up with')
  })

  it('is never cut without a word', () => {
    expect(() => tokenizer(['the man', 'a year of war'], { maxLength: 5 })).toThrow(
      new ArgumentError('tokenizer: text 1 has 6 tokens, maxLength is 5; shorten it, or say how with truncation'),
    )
    const long = 'a year of war '.repeat(3)
    expect(tokenizer(long).inputIds[0]!.length).toBe(14)
    expect(tokenizer(long, { truncation: true }).inputIds).toEqual([[cls, ...b, sep]])
    expect(() => open('bert')('a', { truncation: true })).toThrow('truncation needs maxLength')
    expect(() => tokenizer('the man', { maxLength: 1, truncation: true })).toThrow('can not make it fit')
  })

  it.each([
    ['longestFirst', 'right', 7, [a, b.slice(0, 2)]],
    ['longestFirst', 'left', 8, [a, b.slice(1)]],
    ['longestFirst', 'right', 6, [a.slice(0, 1), b.slice(0, 2)]],
    ['onlyFirst', 'right', 8, [a.slice(0, 1), b]],
    ['onlySecond', 'left', 7, [a, b.slice(2)]],
  ] as const)('of pairs is cut %s from the %s to %i', (truncation, truncationSide, maxLength, [first, second]) => {
    const options = { textPair: 'a year of war', truncation, truncationSide, maxLength }
    expect(tokenizer('the man', options)).toEqual({
      inputIds: [[cls, ...first, sep, ...second, sep]],
      tokenTypeIds: [[...first.map(() => 0), 0, 0, ...second.map(() => 1), 1]],
    })
  })

  it('is read in windows', () => {
    const c = [...tokenizer.encode('a year of war the man a year', { addSpecialTokens: false })]
    const read = {
      truncation: 'onlySecond',
      maxLength: 9,
      returnOverflow: true,
      stride: 1,
      returnOffsets: true,
    } as const
    const { inputIds, textOfRow, offsets } = tokenizer(['the man', 'the man'], {
      ...read,
      textPair: ['war', 'a year of war the man a year'],
    })
    expect(c.length).toBe(8)
    const row = (...second: number[]): number[] => [cls, ...a, sep, ...second, sep]
    const [war] = tokenizer.encode('war', { addSpecialTokens: false })
    expect(inputIds).toEqual([row(war!), row(...c.slice(0, 4)), row(...c.slice(3, 7)), row(...c.slice(6))])
    expect(textOfRow).toEqual([0, 1, 1, 1])
    expect(offsets![2]![4]).toEqual([10, 13])
    expect(tokenizer('a year of war', { truncation: true, maxLength: 4, returnOverflow: true }).inputIds).toEqual([
      [cls, ...b.slice(0, 2), sep],
      [cls, ...b.slice(2), sep],
    ])
    expect(
      tokenizer(['a', 'a year of war'], { ...read, truncation: true, maxLength: 5, padding: true }).textOfRow,
    ).toEqual([0, 1, 1])
  })

  it('knows special tokens', () => {
    expect({ ...tokenizer }).toMatchObject({ padTokenId: pad, sepTokenId: sep, modelMaxLength: 6 })
    expect(tokenizer.specialTokenIds).toEqual(expect.arrayContaining([cls, sep, pad]))
    expect(Object.hasOwn(tokenizer, 'unkTokenId')).toBe(false)
    expect(tokenizer.idToToken(cls)).toBe('[CLS]')
    expect(tokenizer.idToToken(1e9)).toBeUndefined()
    expect(tokenizer.tokenToId('no such token')).toBeUndefined()
  })

  it.each([
    [() => tokenizer(7 as never), 'expected a text or texts, got 7'],
    [() => tokenizer(['a', null] as never), 'expected a text or texts, got ["a", null]'],
    [() => tokenizer('a', { textPair: ['a', 'b'] }), '1 texts, but 2 of textPair'],
    [() => tokenizer('a', { max_length: 3 } as never), 'did you mean maxLength?'],
    [() => tokenizer('a', { truncation: 'longest' as never }), 'truncation should be one of'],
    [() => tokenizer('a', { padding: 'max' as never }), 'padding should be one of'],
    [() => tokenizer('a', { returnOverflow: true }), 'returnOverflow needs truncation'],
    [() => tokenizer('a', { stride: 1, truncation: true }), 'give both'],
    [() => tokenizer('a', { textPair: 'b', truncation: true, returnOverflow: true }), "'onlyFirst' or 'onlySecond'"],
    [() => tokenizer('a', { truncation: true, returnOverflow: true, stride: 4 }), 'should be more than stride, 4'],
    [() => tokenizer('a', { truncation: 'onlySecond', returnOverflow: true }), 'should be more than stride, 0'],
    [() => tokenizer('a', { maxLength: 0 }), 'maxLength should be an integer of at least 1'],
    [() => tokenizer('a', { truncation: 'onlySecond', maxLength: 2 }), 'can not make it fit'],
    [() => tokenizer.decode([-1]), 'expected an id from 0 to'],
    [() => tokenizer.decode([tokenizer.vocabSize]), 'expected an id from 0 to'],
    [() => tokenizer.decoder().push(0.5), 'expected an id from 0 to'],
    [() => tokenizer.encode(null as never), 'encode: expected a string'],
  ])('refuses what it can not take %#', (make, message) => {
    expect(make).toThrow(ArgumentError)
    expect(make).toThrow(message)
  })
})
