import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const model = 'test/reference/pipelines/embedding'

/** Runs an example as `npm run example:…` does. */
const run = (name: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) =>
    execFile(process.execPath, ['--import', 'tsx', `examples/${name}.ts`, ...args], { cwd: root }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    ),
  )

describe('semantic-search', () => {
  let texts: string
  beforeAll(async () => {
    texts = await mkdtemp(join(tmpdir(), 'heedful-search-'))
    await mkdir(join(texts, 'more'))
    await writeFile(join(texts, 'one.txt'), 'ada wrote to london\n\n\nthe machine\nweaves flowers\n')
    await writeFile(join(texts, 'more', 'two.md'), 'short')
    await writeFile(join(texts, 'image.png'), 'no text')
  })
  afterAll(() => rm(texts, { recursive: true }))

  it('finds the closest passages and where they stand', async () => {
    const { out } = await run(
      'semantic-search',
      '--json',
      '--top',
      '2',
      '--model',
      model,
      '--texts',
      texts,
      'the machine\nweaves flowers',
    )
    const { passages, found } = JSON.parse(out)
    expect(passages).toBe(3)
    expect(found).toHaveLength(2)
    expect(found[0]).toEqual({
      score: expect.closeTo(1, 5),
      file: 'one.txt',
      line: 4,
      text: 'the machine\nweaves flowers',
    })
    expect(await run('semantic-search', '--model', model, '--texts', texts, 'short')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^1\.000  more.two\.md:1\n {7}short\n/),
    })
  })

  it.each([
    [['--texts', 'x'], 2, /what is the question\?\nUsage: /],
    [['question'], 2, /--texts should be a folder of text files/],
    [['--texts', 'x', '--top', '0', 'q'], 2, /--top should be a whole number of at least 1, got 0/],
    [['--texts', 'x', '--tip', '1', 'q'], 2, /Unknown option '--tip'/],
    [['--texts', 'nowhere', 'q'], 1, /nowhere/],
    [['--model', 'nowhere/at/all', '--texts', '.github', 'q'], 1, /no \.txt or \.md file/],
  ])('complains: %j', async (args, code, message) => {
    expect(await run('semantic-search', ...args)).toMatchObject({ code, out: '', err: expect.stringMatching(message) })
  })
})

it('shakespeare says how it is used', async () => {
  expect(await run('shakespeare', '--help')).toMatchObject({ code: 0, out: expect.stringMatching(/^Usage: npm start/) })
  expect(await run('shakespeare', '--steps', '1')).toMatchObject({ code: 2, err: expect.stringMatching(/--steps/) })
})
