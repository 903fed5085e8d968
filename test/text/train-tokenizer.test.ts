import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import { trainTokenizer, type TokenizerTrainingOptions } from '../../lib/text/training/train-tokenizer.ts'
import { texts } from './goldens.ts'

const text = readFileSync(new URL('../../examples/tinyshakespeare.txt', import.meta.url), 'utf8').slice(0, 200_000)
const golden = JSON.parse(readFileSync(new URL('../reference/tokenizers/training.json', import.meta.url), 'utf8')) as {
  bpe: { options: TokenizerTrainingOptions; merges: string[]; size: number }[]
  wordpiece: { options: TokenizerTrainingOptions; vocab: string[] }
}

/** The tokenizer.json that a tokenizer writes, and the tokenizer that is read from it. */
async function saved(tokenizer: Awaited<ReturnType<typeof trainTokenizer>>) {
  const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  await tokenizer.save(folder)
  const json = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'))
  const again = await loadTokenizer(folder)
  await rm(folder, { recursive: true })
  return { json, again }
}

describe('byte-level BPE', () => {
  it.each(golden.bpe)('has the merges of Hugging Face’s trainer, $options', async ({ options, merges, size }) => {
    const tokenizer = await trainTokenizer('bpe', [text], options)
    const { json, again } = await saved(tokenizer)
    expect(json.model.merges.map((merge: string[]) => merge.join(' '))).toEqual(merges)
    expect(tokenizer.vocabSize).toBe(size)
    for (const [i, token] of (options.specialTokens ?? []).entries()) expect(tokenizer.tokenToId(token)).toBe(i)
    for (const hard of texts) {
      const ids = tokenizer.encode(hard)
      expect(again.encode(hard)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(hard.toWellFormed())
    }
  })

  it('is the same whether texts come whole, in lines, or one by one', async () => {
    const some = text.slice(0, 20_000)
    const lines = async function* (): AsyncGenerator<string> {
      for (const line of some.split(/(?<=\S\n)(?=\p{L})/u)) yield line
    }
    const [whole, parts] = await Promise.all([
      trainTokenizer('bpe', [some], { vocabSize: 400 }).then(saved),
      trainTokenizer('bpe', lines(), { vocabSize: 400 }).then(saved),
    ])
    expect(parts.json).toEqual(whole.json)
  })
})

describe('WordPiece', () => {
  it('has nearly the vocabulary of Hugging Face’s trainer, whose order of equals is random', async () => {
    const { options, vocab } = golden.wordpiece
    const tokenizer = await trainTokenizer('wordpiece', [text], options)
    const { json, again } = await saved(tokenizer)
    const own = new Set(Object.keys(json.model.vocab))
    expect(own.size).toBe(vocab.length)
    expect(vocab.filter((token) => !own.has(token)).length).toBeLessThan(vocab.length * 0.02)
    expect(tokenizer('Speak, speak.', { textPair: 'Ay' }).inputIds[0]![0]).toBe(tokenizer.clsTokenId)
    expect(tokenizer.decode(tokenizer.encode('Speak, CITIZENS!'), { skipSpecialTokens: true })).toBe('speak, citizens!')
    expect(again.encode('First Citizen')).toEqual(tokenizer.encode('First Citizen'))
    const cased = await trainTokenizer('wordpiece', ['Ab aB'], {
      vocabSize: 20,
      lowercase: false,
      specialTokens: ['[UNK]'],
    })
    expect(cased.tokenToId('A')).toBeGreaterThan(0)
  })
})

describe('training a tokenizer', () => {
  it('leaves the event loop to others, tells how far it is, and can be stopped', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const seen: (string | number)[] = []
    await trainTokenizer('wordpiece', [text], {
      vocabSize: 500,
      onProgress: ({ phase, done }) =>
        void (seen.at(-2) === phase ? (seen[seen.length - 1] = done) : seen.push(phase, done)),
    })
    clearInterval(timer)
    expect(seen).toEqual(['count', 1, 'merge', 500])
    // It takes many times 4 ms; kept to itself it would leave none.
    expect(turns).toBeGreaterThan(3)
    const controller = new AbortController()
    const stopped = trainTokenizer('bpe', [text], { vocabSize: 5000, signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(stopped).rejects.toThrow('enough')
    await expect(trainTokenizer('bpe', [text], { vocabSize: 5000, signal: AbortSignal.abort() })).rejects.toThrow(
      'abort',
    )
  })

  it('stops where nothing is left to merge', async () => {
    expect((await trainTokenizer('bpe', ['abab'], { vocabSize: 1000 })).vocabSize).toBe(258)
    expect((await trainTokenizer('bpe', [], { vocabSize: 1000 })).vocabSize).toBe(256)
  })

  it.each<[string, unknown[], string]>([
    ['another type', ['unigram', [], { vocabSize: 300 }], "expected 'bpe' or 'wordpiece'"],
    ['a single text', ['bpe', 'abc', { vocabSize: 300 }], 'expected texts'],
    ['texts that are none', ['bpe', [7], { vocabSize: 300 }], 'text 0 should be a string, got 7'],
    ['no options', ['bpe', []], 'expected options with vocabSize'],
    ['no size', ['bpe', [], {}], 'vocabSize should be an integer'],
    ['too small a size', ['bpe', [], { vocabSize: 100 }], 'vocabSize should be at least 256'],
    ['an unknown option', ['bpe', [], { vocabSize: 300, vocab_size: 1 }], 'did you mean vocabSize?'],
    ['a special token twice', ['bpe', [], { vocabSize: 300, specialTokens: ['a', 'a'] }], 'different texts'],
    ['no [UNK]', ['wordpiece', [], { vocabSize: 300, specialTokens: ['a'] }], 'should include [UNK]'],
    ['an option of the other type', ['bpe', [], { vocabSize: 300, lowercase: true }], "option of 'wordpiece' only"],
    ['one more', ['wordpiece', [], { vocabSize: 300, preTokenizer: 'gpt2' }], "option of 'bpe' only"],
    ['an unknown cut', ['bpe', [], { vocabSize: 300, preTokenizer: 'gpt3' }], 'one of gpt2, llama3, qwen2'],
    ['a negative frequency', ['bpe', [], { vocabSize: 300, minFrequency: -1 }], 'minFrequency should be'],
  ])('refuses %s', async (_, args, message) => {
    const error = await (trainTokenizer as (...args: any[]) => Promise<unknown>)(...args).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(ArgumentError)
    expect((error as Error).message).toContain(message)
  })
})
