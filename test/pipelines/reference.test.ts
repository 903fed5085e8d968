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
