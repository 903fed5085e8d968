import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { liveBytes, pipeline, type Answer, type Question } from '../../lib/index.ts'

// Against what transformers answers: test/reference/make-pipelines.py.

const folder = (name: string): string => fileURLToPath(new URL(`../reference/pipelines/${name}`, import.meta.url))
const expected = JSON.parse(readFileSync(folder('expected.json'), 'utf8'), (_, value) => camelCase(value))
const texts: string[] = expected.texts
const before = liveBytes()

/** Keys as JavaScript writes them. */
function camelCase(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      inner,
    ]),
  )
}

/** Numbers within 1e-4, everything else equal. */
function expectClose(actual: unknown, wanted: unknown, where = 'answer'): void {
  if (typeof wanted === 'number' && !Number.isInteger(wanted)) expect(actual, where).toBeCloseTo(wanted, 4)
  else if (Array.isArray(wanted)) {
    expect(actual, where).toHaveLength(wanted.length)
    wanted.forEach((one, i) => expectClose((actual as unknown[])[i], one, `${where}[${i}]`))
  } else if (typeof wanted === 'object' && wanted !== null) {
    expect(Object.keys(actual as object).sort(), where).toEqual(Object.keys(wanted).sort())
    for (const [key, one] of Object.entries(wanted))
      expectClose((actual as Record<string, unknown>)[key], one, `${where}.${key}`)
  } else expect(actual, where).toBe(wanted)
}

afterAll(() => expect(liveBytes()).toBe(before))

describe('text-classification', () => {
  const want = expected['text-classification']
  it('gives the likeliest label, or all', async () => {
    await using classify = await pipeline('text-classification', folder('sequence'))
    expectClose(await classify(texts), want.best)
    expectClose(await classify(texts[2]!), want.best[2])
    expectClose(await classify(texts, { topK: 'all' }), want.all)
    expectClose(await classify(texts[0]!, { topK: 2 }), want.all[0].slice(0, 2))
    expectClose(await classify(texts, { topK: 3, functionToApply: 'none' }), want.none)
  })
  it('takes options for all calls', async () => {
    await using classify = await pipeline('text-classification', folder('sequence'), { functionToApply: 'sigmoid' })
    expectClose(await classify(texts, { topK: 'all' }), want.sigmoid)
  })
})

describe('token-classification', () => {
  const want = expected['token-classification']
  it.each(['none', 'simple', 'first', 'average', 'max'] as const)('aggregates: %s', async (aggregationStrategy) => {
    await using tag = await pipeline('token-classification', folder('token'))
    expectClose(await tag(texts, { aggregationStrategy }), want[aggregationStrategy])
    expectClose(await tag(texts[0]!, { aggregationStrategy }), want[aggregationStrategy][0])
  })
  it('leaves labels out', async () => {
    await using tag = await pipeline('token-classification', folder('token'), { ignoreLabels: ['I-PER', 'B-LOC'] })
    expectClose(await tag(texts), want.kept)
  })
})

describe('fill-mask', () => {
  // For several masks transformers leaves [CLS] and [SEP] in the text.
  const bare = (text: unknown): unknown => (typeof text === 'string' ? text.replace(/^\[CLS\] | \[SEP\]$/g, '') : text)
  const want = JSON.parse(JSON.stringify(expected['fill-mask']), (_, value) => bare(value))
  it('finds the likeliest tokens of each mask', async () => {
    await using fill = await pipeline('fill-mask', folder('masked'))
    expectClose(await fill(want.texts), want.five)
    expectClose(await fill(want.texts[1], { topK: 2 }), want.two[1])
  })
})

interface Asked extends Question {
  maxLength: number
  stride: number
  maxAnswerLength: number
  answers: Answer[]
  impossible: number
}

describe('question-answering', () => {
  it.each(expected['question-answering'] as Asked[])('$question in windows of $maxLength', async (given) => {
    const { question, context, maxLength, stride, maxAnswerLength, answers, impossible } = given
    await using ask = await pipeline('question-answering', folder('question'), { maxLength, stride, maxAnswerLength })
    expectClose(await ask({ question, context }, { topK: 4 }), answers)
    expectClose(await ask([{ question, context }]), [answers[0]])
    const withNone = await ask({ question, context }, { topK: 1000, handleImpossibleAnswer: true })
    expectClose(
      withNone.find(({ answer }) => answer === ''),
      { answer: '', score: impossible, start: 0, end: 0 },
    )
  })
})

describe('text-ranking', () => {
  const { query, ranked } = expected['text-ranking'] as { query: string; ranked: { index: number; score: number }[] }
  it('puts documents in the order of a cross-encoder', async () => {
    await using rank = await pipeline('text-ranking', folder('ranking'))
    const wanted = ranked.map(({ index, score }) => ({ index, score, document: texts[index] }))
    expectClose(await rank({ query, documents: texts }), wanted)
    const both = [
      { query, documents: texts },
      { query: 'short', documents: [] },
      { query, documents: texts.slice(0, 1) },
    ]
    const alone = [{ ...ranked.find(({ index }) => index === 0), document: texts[0] }]
    expectClose(await rank(both, { topK: 2 }), [wanted.slice(0, 2), [], alone])
  })
})

describe('feature-extraction', () => {
  const want = expected['feature-extraction']
  const { sentences } = want as { sentences: string[] }
  it.each([
    ['mean', 'mean'],
    ['cls', 'cls'],
    ['lastToken', 'lasttoken'],
  ] as const)('pools as sentence-transformers: %s', async (pooling, name) => {
    await using embed = await pipeline('feature-extraction', folder('embedding'), { pooling })
    using vectors = await embed(sentences)
    expectClose(vectors.toArray(), want.poolings[name])
  })

  it('follows the files beside the model', async () => {
    await using embed = await pipeline('feature-extraction', folder('embedding'))
    using vectors = await embed(sentences)
    expectClose(vectors.toArray(), want.saved)
    using one = await embed(sentences[1]!)
    expectClose(one.toArray(), want.saved[1])
    using queries = await embed(sentences, { promptName: 'query' })
    expectClose(queries.toArray(), want.query)
    using cut = await embed(texts, { truncation: true })
    expectClose(cut.toArray(), want.cut)
    await expect(embed(texts)).rejects.toThrow(
      /has \d+ tokens, maxLength is 32; shorten it, or say how with truncation/,
    )
  })

  it('gives the vectors of tokens', async () => {
    await using embed = await pipeline('feature-extraction', folder('embedding'))
    using vectors = await embed(sentences[0]!, { pooling: 'none' })
    expectClose(vectors.toArray(), want.tokens)
    const several = await embed(sentences, { pooling: 'none' })
    expect(several.map(({ shape }) => shape[1])).toEqual(sentences.map(() => 16))
    expectClose(several[0]!.toArray(), want.tokens)
    for (const tensor of several) tensor.dispose()
  })
})

describe('text2text-generation', () => {
  const want = expected['text2text-generation']
  const textsOf = (answers: { generatedText: string }[]): string[] => answers.map(({ generatedText }) => generatedText)

  it('writes what transformers writes', async () => {
    await using write = await pipeline('text2text-generation', folder('text2text'))
    expect(textsOf(await write(texts))).toEqual(want.greedy)
    expect(await write(texts[2]!)).toEqual({ generatedText: want.greedy[2] })
    expect(textsOf(await write(texts, { numBeams: 3, maxNewTokens: 8, noRepeatNgramSize: 2 }))).toEqual(want.beams)
    expect(textsOf(await write(texts, { prefix: 'patterns: ' }))).toEqual(want.summarization)
  })

  it('is translation and summarization, too', async () => {
    await using translate = await pipeline('translation', folder('text2text'), { numBeams: 3, noRepeatNgramSize: 2 })
    expect(textsOf(await translate(texts, { maxNewTokens: 8 }))).toEqual(want.beams)
    await using summarize = await pipeline('summarization', folder('text2text'))
    expect(textsOf(await summarize(texts))).toEqual(want.summarization)
    expect(textsOf(await summarize(texts, { prefix: '' }))).toEqual(want.greedy)
  })
})
