import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pipeline, type PipelineOf } from '../../lib/index.ts'
import { writeReferenceModel } from '../reference/weight-values.ts'

const names = ['<s>', '<pad>', '</s>', '<unk>']
const vocabSize = 40
const [german, english] = [vocabSize - 2, vocabSize - 1]
const words = Array.from({ length: vocabSize - 6 }, (_, i) => `w${i}`)
const tokens = [...names, ...words, 'de_DE', 'en_XX']
const special = [...names, 'de_DE', 'en_XX']
const tokenizer = {
  version: '1.0',
  added_tokens: special.map((content) => ({ id: tokens.indexOf(content), content, normalized: false, special: true })),
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { Sequence: { id: 'A', type_id: 0 } },
      ...['</s>', 'de_DE'].map((id) => ({ SpecialToken: { id, type_id: 0 } })),
    ],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
    special_tokens: Object.fromEntries(
      ['</s>', 'de_DE'].map((id) => [id, { id, ids: [tokens.indexOf(id)], tokens: [id] }]),
    ),
  },
  model: { type: 'WordLevel', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), unk_token: '<unk>' },
}

let folder: string
let translate: PipelineOf<'translation'>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-languages-'))
  const goldens = gunzipSync(await readFile(new URL('../reference/seq2seq.json.gz', import.meta.url))).toString()
  const { cases } = JSON.parse(goldens) as {
    cases: { name: string; config: object; weights: Record<string, number[]> }[]
  }
  const { config, weights } = cases.find(({ name }) => name === 'mbart')!
  await writeReferenceModel(folder, { ...config, decoder_start_token_id: 2 }, weights)
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer))
  translate = await pipeline('translation', folder, { maxNewTokens: 8, minNewTokens: 7, noRepeatNgramSize: 1 })
})
afterAll(async () => {
  translate.dispose()
  await rm(folder, { recursive: true })
})

it('languages of a model of many: what a row says it is in, and what an answer begins with', async () => {
  const ids = [4, 9, 7]
  const text = ids.map((id) => tokens[id]).join(' ')
  const written = async (source: number, target: number): Promise<string> => {
    const options = { forcedBosTokenId: target, maxNewTokens: 8, minNewTokens: 7, noRepeatNgramSize: 1 }
    const [made] = await translate.model.generate({ inputIds: [[...ids, 2, source]] }, options)
    return translate.tokenizer.decode(made!, { skipSpecialTokens: true }).trim()
  }
  expect(await translate(text, { srcLang: 'en_XX', tgtLang: 'de_DE' })).toEqual({
    generatedText: await written(english, german),
  })
  expect(await translate(text, { tgtLang: 'en_XX' })).toEqual({ generatedText: await written(german, english) })
  expect(await written(english, german)).not.toBe(await written(german, german))
})

it('languages that the model has not are refused by name', async () => {
  await expect(translate('w1', { srcLang: 'de_De' })).rejects.toThrow(
    'translation: srcLang "de_De" is no language of this model; did you mean de_DE? languages: de_DE, en_XX',
  )
  const without = new URL('../reference/pipelines/text2text', import.meta.url).pathname
  await expect(pipeline('translation', without, { tgtLang: 'en_XX' })).rejects.toThrow(
    'tgtLang is for models of many languages',
  )
})
