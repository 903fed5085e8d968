import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import { AutoModelForSeq2SeqLM, type Seq2SeqLM } from '../../lib/generate/seq2seq-lm.ts'
import type { Seq2SeqGenerateOptions } from '../../lib/generate/generation-options.ts'
import { liveBytes } from '../../lib/tensor/tensor.ts'
import { referenceFolder } from '../models/reference-suite.ts'

const source = [74, 55, 5, 24, 8, 90, 13, 76, 50]
const inputIds = [source, [29, 4, 7], [40, 67, 92, 93, 11]]

describe('targets of BART', () => {
  let model: Seq2SeqLM
  beforeAll(async () => {
    model = await AutoModelForSeq2SeqLM.fromPretrained(referenceFolder('bart'))
  })
  afterAll(() => model.dispose())
  const generate = (options: Seq2SeqGenerateOptions, rows = inputIds) =>
    model.generate({ inputIds: rows }, { stopTokens: [], maxNewTokens: 8, ...options })

  it('are the same whatever was generated before, and meanwhile', async () => {
    const greedy = await generate({})
    const beams = await generate({ numBeams: 3 })
    expect(await generate({ numBeams: 3 }, inputIds.slice(1))).toEqual(beams.slice(1))
    expect(await generate({ maxNewTokens: 3 })).toEqual(greedy.map((target) => target.slice(0, 3)))
    expect(await Promise.all([generate({}), generate({ numBeams: 3 }), generate({})])).toEqual([greedy, beams, greedy])
    expect(await generate({ numBeams: 1 })).toEqual(greedy)
    expect(await generate({ maxNewTokens: 0 })).toEqual([[], [], []])
  })

  it('are drawn with a temperature, the same for the same seed', async () => {
    const drawn = await generate({ temperature: 2, seed: 7 })
    expect(await generate({ temperature: 2, seed: 7 })).toEqual(drawn)
    expect(await generate({ temperature: 2, seed: 8 })).not.toEqual(drawn)
  })

  it('end with a stop token, each on its own', async () => {
    const whole = await generate({ numBeams: 1 })
    const stop = whole[0]!.at(3)!
    const ended = whole.map((target) => {
      const end = target.indexOf(stop)
      return end < 0 ? target : target.slice(0, end + 1)
    })
    expect(await generate({ stopTokens: [stop] })).toEqual(ended)
  })

  it('have no words that are forbidden', async () => {
    const [first, second] = (await generate({}))[0]!
    const others = (await generate({ badWordsIds: [[first!, second!], [93]] }))[0]!
    expect(others).not.toContain(93)
    expect(others.some((token, i) => token === first && others[i + 1] === second)).toBe(false)
  })

  it('stop with a signal', async () => {
    await expect(generate({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    const controller = new AbortController()
    const stopped = generate({ numBeams: 2, signal: controller.signal })
    controller.abort(new Error('later'))
    await expect(stopped).rejects.toThrow('later')
    expect((await generate({ numBeams: 2 })).length).toBe(3)
  })

  it.each([
    [{ numBeams: 0 }, 'numBeams'],
    [{ numBeams: 2, temperature: 1 }, 'leave numBeams or temperature out'],
    [{ maxNewTokens: 41 }, 'at most 40'],
    [{ earlyStopping: 'always' }, "true, false or 'never'"],
    [{ repetitionPenalty: 0 }, 'above 0'],
    [{ badWordsIds: [[]] }, 'has no tokens'],
    [{ badWordsIds: [7] }, 'badWordsIds should be an array'],
    [{ stopTokens: 2 }, 'stopTokens should be an array'],
    [{ forcedEosTokenId: [1.5] }, 'forcedEosTokenId'],
    [{ forcedBosTokenId: 96 }, 'token id'],
    [{ lengthPenalty: NaN }, 'lengthPenalty'],
    [{ numBeam: 3 }, 'did you mean numBeams?'],
  ])('refuse %j', async (options, message) => {
    await expect(generate(options as never)).rejects.toThrow(ArgumentError)
    await expect(generate(options as never)).rejects.toThrow(message)
  })

  it('refuse sources that are none', async () => {
    await expect(model.generate({ inputIds: [] })).rejects.toThrow(ArgumentError)
    await expect(model.generate({ inputIds: [[1]], labels: [[1]] } as never)).rejects.toThrow('labels')
    await expect(model.generate({ inputIds: [new Array<number>(41).fill(3)] })).rejects.toThrow('at most 40')
  })
})

describe('generation_config.json', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    await cp(referenceFolder('bart'), folder, { recursive: true })
  })
  afterAll(() => rm(folder, { recursive: true }))
  const open = async (generation: object): Promise<Seq2SeqLM> => {
    await writeFile(join(folder, 'generation_config.json'), JSON.stringify(generation))
    return AutoModelForSeq2SeqLM.fromPretrained(folder)
  }

  it('is advice that options overrule, and is written again', async () => {
    const advice = { num_beams: 3, length_penalty: 2, max_length: 7, eos_token_id: 95, no_repeat_ngram_size: 2 }
    using model = await open(advice)
    const said = { numBeams: 3, lengthPenalty: 2, maxNewTokens: 6, stopTokens: [95], noRepeatNgramSize: 2 }
    using plain = await open({})
    expect(await model.generate({ inputIds })).toEqual(await plain.generate({ inputIds }, said))
    expect(await model.generate({ inputIds }, { numBeams: 1 })).toEqual(
      await plain.generate({ inputIds }, { ...said, numBeams: 1 }),
    )
    const copy = join(folder, 'copy')
    await model.savePretrained(copy)
    expect(JSON.parse(await readFile(join(copy, 'generation_config.json'), 'utf8'))).toEqual(advice)
    const { bos_token_id: begin, eos_token_id: end } = JSON.parse(
      await readFile(join(copy, 'config.json'), 'utf8'),
    ) as Record<string, unknown>
    expect([begin, end]).toEqual([0, 2])
  })

  it.each([
    [{ num_beam_groups: 2 }, ArgumentError, 'num_beam_groups 2 is not supported'],
    [{ suppress_tokens: [3] }, ArgumentError, 'suppress_tokens'],
    [{ num_beams: 'two' }, FileError, 'numBeams'],
    [{ bad_words_ids: 5 }, FileError, 'badWordsIds'],
  ])('of %j is refused when it is to be followed', async (generation, kind, message) => {
    using model = await open(generation)
    await expect(model.generate({ inputIds })).rejects.toThrow(kind)
    await expect(model.generate({ inputIds })).rejects.toThrow(message)
  })
})

it('gives all memory back', async () => {
  const before = liveBytes()
  {
    using model = await AutoModelForSeq2SeqLM.fromPretrained(referenceFolder('t5-relu-tied'))
    await model.generate({ inputIds }, { numBeams: 2, maxNewTokens: 4 })
    const { gradients } = await model.lossAndGradients({ inputIds, labels: [[3], [4, 5], [6]] })
    for (const gradient of gradients.values()) gradient.dispose()
    using outputs = await model.run({ inputIds, labels: [[3], [4, 5], [6]] }, { outputHiddenStates: true })
    expect(outputs.logits!.shape).toEqual([3, 2, 96])
  }
  expect(liveBytes()).toBe(before)
})
