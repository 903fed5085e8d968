import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { AutoModelForSequenceClassification, liveBytes, pipeline, type TaskName } from '../../lib/index.ts'

const folder = (name: string): string => fileURLToPath(new URL(`../reference/pipelines/${name}`, import.meta.url))

type Call = (input: unknown, options?: unknown) => Promise<unknown>
const long = 'ada '.repeat(80)

/** What a person reads who made a usual mistake. */
const mistakes: readonly [task: TaskName, name: string, (call: Call) => Promise<unknown>, message: RegExp][] = [
  [
    'text-classification',
    'sequence',
    (call) => call(5),
    /^text-classification: expected a text or an array of them, got 5/,
  ],
  ['text-classification', 'sequence', (call) => call(['a', null]), /expected a text at 1 of the array, got null/],
  [
    'text-classification',
    'sequence',
    (call) => call('a', { topK: 0 }),
    /topK should be an integer of at least 1, got 0/,
  ],
  [
    'text-classification',
    'sequence',
    (call) => call('a', { functionToApply: 'relu' }),
    /functionToApply should be 'softmax'/,
  ],
  ['text-classification', 'sequence', (call) => call('a', { top_k: 1 }), /unknown option "top_k"; did you mean topK/],
  ['text-classification', 'sequence', (call) => call(long), /text 0 has 82 tokens, maxLength is 64/],
  ['text-classification', 'sequence', (call) => call('a', { signal: AbortSignal.abort() }), /abort/i],
  [
    'token-classification',
    'token',
    (call) => call('a', { aggregationStrategy: 'median' }),
    /aggregationStrategy should be one of none, simple/,
  ],
  [
    'token-classification',
    'token',
    (call) => call('a', { ignoreLabels: 'O' }),
    /ignoreLabels should be names of labels, got "O"/,
  ],
  [
    'fill-mask',
    'masked',
    (call) => call('no mask here'),
    /text 0 has no \[MASK\]; write it where a word is to be found/,
  ],
  [
    'question-answering',
    'question',
    (call) => call({ question: 'who?', context: ' ' }),
    /context 0 is empty; there is nothing to read/,
  ],
  ['question-answering', 'question', (call) => call({ question: 'who?' }), /expected a \{ question, context \}/],
  [
    'question-answering',
    'question',
    (call) => call({ question: 'who?', contxt: 'Ada' }),
    /unknown option "contxt"; did you mean context/,
  ],
  [
    'question-answering',
    'question',
    (call) => call({ question: 'a', context: 'b' }, { maxLength: 100 }),
    /maxLength should be an integer from 1 to 64/,
  ],
  ['question-answering', 'question', (call) => call({ question: long, context: 'b' }), /leaves room for 0 tokens/],
  ['text-ranking', 'ranking', (call) => call({ query: 'a', documents: 'b' }), /expected a \{ query, documents \}/],
  [
    'text-ranking',
    'ranking',
    (call) => call({ query: long, documents: ['b'] }, { truncation: true }),
    /can not make it fit/,
  ],
  [
    'feature-extraction',
    'embedding',
    (call) => call('a', { pooling: 'max' }),
    /pooling should be one of mean, cls, lastToken, none, got "max"/,
  ],
  [
    'feature-extraction',
    'embedding',
    (call) => call('a', { pooling: 'none', normalize: true }),
    /normalize is for vectors of texts/,
  ],
  [
    'feature-extraction',
    'embedding',
    (call) => call('a', { promptName: 'question' }),
    /promptName should be one of .*query.*, got "question"/,
  ],
]

it.each(mistakes)('%s of %s complains: %#', async (task, name, make, message) => {
  const before = liveBytes()
  {
    await using opened = await pipeline(task, folder(name))
    await expect(make(opened as unknown as Call)).rejects.toThrow(message)
  }
  expect(liveBytes()).toBe(before)
})

it.each<[TaskName, string, Record<string, unknown>, RegExp]>([
  ['text-classification', 'sequence', { functionToApply: 'relu' }, /functionToApply should be/],
  ['fill-mask', 'masked', { topK: 'all' }, /topK should be an integer/],
  ['text-ranking', 'sequence', {}, /expected a model that gives one score, got one with 3 labels/],
  ['question-answering', 'question', { stride: -1 }, /stride should be/],
  ['fill-mask', 'nowhere', {}, /nowhere/],
])('pipeline of %s with %s and %o complains, and gives back its memory', async (task, name, options, message) => {
  const before = liveBytes()
  await expect(pipeline(task, folder(name), options)).rejects.toThrow(message)
  expect(liveBytes()).toBe(before)
})

it('can not be used when it was disposed of', async () => {
  const classify = await pipeline('text-classification', folder('sequence'))
  classify.dispose()
  await expect(classify('ada')).rejects.toMatchObject({ code: 'HEEDFUL_DISPOSED' })
})

it('labels that go together, or a number, are scored as config.json says, which is kept', async () => {
  const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
  await cp(folder('sequence'), copy, { recursive: true })
  const config = JSON.parse(await readFile(join(copy, 'config.json'), 'utf8')) as object
  await using plain = await pipeline('text-classification', folder('sequence'))
  const logits = await plain('ada', { functionToApply: 'none', topK: 'all' })
  for (const [type, score] of [
    ['multi_label_classification', (z: number) => 1 / (1 + Math.exp(-z))],
    ['regression', (z: number) => z],
  ] as const) {
    await writeFile(join(copy, 'config.json'), JSON.stringify({ ...config, problem_type: type }))
    await using classify = await pipeline('text-classification', copy)
    const made = await classify('ada', { topK: 'all' })
    expect(made.map((one) => one.score)).toEqual(logits.map((one) => expect.closeTo(score(one.score), 6)))
    const again = join(copy, type)
    using model = await AutoModelForSequenceClassification.fromPretrained(copy, { trainable: true })
    await model.savePretrained(again)
    expect(await readFile(join(again, 'config.json'), 'utf8')).toContain(`"problem_type": "${type}"`)
    if (type === 'regression') continue
    await expect(model.lossAndGradients({ inputIds: [[2, 3]], labels: [1] })).rejects.toThrow(/multi_label/)
  }
  await rm(copy, { recursive: true })
})

it('a folder without a tokenizer is told what is there', async () => {
  const copy = await mkdtemp(join(tmpdir(), 'heedful-'))
  await cp(join(folder('sequence'), 'config.json'), join(copy, 'config.json'))
  await expect(pipeline('fill-mask', copy)).rejects.toThrow(
    /has no tokenizer; expected tokenizer\.json, or source\.spm with .* found config\.json; AutoModel… opens a model without one/,
  )
  await rm(copy, { recursive: true })
})
