import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { CharTokenizer } from '../../lib/text/char-tokenizer.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import { causalLM } from '../../lib/train/causal-lm.ts'
import { readMetrics } from '../../lib/train/metrics.ts'
import type { TrainerOptions } from '../../lib/train/trainer-options.ts'
import { collect, context, lossesOf, tinyModel, tinyTrainer, weightsOf } from './tiny.ts'

let out: string
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterEach(() => rm(out, { recursive: true }))

/** Lines without what depends on the clock. */
const metricsOf = async (folder: string): Promise<object[]> =>
  (await readMetrics(folder)).map((line) => ({ ...line, tokensPerSecond: 0 }))

/** Goes on after each stop at the given events until the end, each time with new objects, as a new process does. */
async function train(stops: number[], options: Partial<TrainerOptions> = {}): Promise<unknown> {
  for (const [part, stop] of [...stops, Infinity].entries()) {
    const controller = new AbortController()
    using model = tinyModel({ dropout: 0.1 })
    using trainer = tinyTrainer(model, { out, signal: controller.signal, ...options })
    if (part > 0) await trainer.resume()
    let events = 0
    for await (const event of trainer) if (event && ++events === stop) controller.abort()
    if (stop === Infinity) return { weights: weightsOf(model), metrics: await metricsOf(out) }
  }
  return undefined
}

describe('a run in a folder', () => {
  it('leaves a model folder, metrics and what resuming needs', async () => {
    using model = tinyModel()
    const tokenizer = CharTokenizer.train('abcdefghijk')
    const text = tokenizer.encode('abcdefghijk'.repeat(20))
    using trainer = tinyTrainer(model, {
      out: join(out, 'made', 'by itself'),
      task: causalLM({ train: text, validation: text, context, tokenizer }),
    })
    const events = await collect(trainer)
    const folder = join(out, 'made', 'by itself')
    expect((await readdir(folder)).sort()).toEqual([
      'config.json',
      'metrics.jsonl',
      'model.safetensors',
      'tokenizer.json',
      'trainer-state.safetensors',
    ])
    using loaded = await loadDecoder(folder)
    expect(weightsOf(loaded)).toEqual(weightsOf(model))
    expect((await loadTokenizer(folder)).vocabSize).toBe(11)
    expect(await readMetrics(folder)).toEqual(
      events.map((event) => {
        const { type, ...figures } = event
        return type === 'step' ? figures : { step: event.step, validationLoss: event.loss }
      }),
    )
  })

  it.each<[string, number[]]>([
    ['in the middle', [4]],
    ['before an evaluation', [5]],
    ['after an evaluation', [6]],
    ['before the last evaluation', [14]],
    ['at the end', [15]],
    ['again and again', [1, 1, 3, 1, 2]],
  ])('that stopped %s goes on as if it had not', async (_, stops) => {
    const whole = await train([])
    expect(await train(stops)).toEqual(whole)
  })

  it('that stopped in bf16 goes on as if it had not', async () => {
    const whole = await train([], { precision: 'bf16' })
    expect(await train([4], { precision: 'bf16' })).toEqual(whole)
    expect(await train([])).not.toEqual(whole)
  })

  it('goes on from what was saved last when the process was killed', async () => {
    const whole = await train([])
    using model = tinyModel({ dropout: 0.1 })
    using trainer = tinyTrainer(model, { out, saveEvery: 4 })
    // No more events are asked for: nothing is saved at the end.
    for await (const { type, step } of trainer) if (type === 'step' && step === 7) break
    await appendFile(join(out, 'metrics.jsonl'), '{"step":8,"lo')
    expect((await readMetrics(out)).at(-1)).toMatchObject({ step: 7 })
    using again = tinyModel({ dropout: 0.1 })
    using resumed = tinyTrainer(again, { out, saveEvery: 4 })
    expect(await resumed.resume()).toBe(4)
    const events = await collect(resumed)
    expect(lossesOf(events)[0]![1]).toBe(5)
    expect({ weights: weightsOf(again), metrics: await metricsOf(out) }).toEqual(whole)
  })

  it('begins again when nothing was saved yet', async () => {
    const whole = await train([])
    await rm(join(out, 'trainer-state.safetensors'))
    using model = tinyModel({ dropout: 0.1 })
    using trainer = tinyTrainer(model, { out })
    expect(await trainer.resume()).toBe(0)
    await collect(trainer)
    expect({ weights: weightsOf(model), metrics: await metricsOf(out) }).toEqual(whole)
  })

  it('begins anew without resuming, and forgets what was there', async () => {
    const whole = await train([])
    expect(await train([])).toEqual(whole)
    using model = tinyModel()
    using trainer = tinyTrainer(model, { out })
    const events = trainer[Symbol.asyncIterator]()
    await events.next()
    await events.return()
    expect(await readdir(out)).not.toContain('trainer-state.safetensors')
    expect(await readMetrics(out)).toHaveLength(1)
  })

  it('may be made longer', async () => {
    await train([], { steps: 6 })
    using model = tinyModel({ dropout: 0.1 })
    using trainer = tinyTrainer(model, { out, steps: 8 })
    expect(await trainer.resume()).toBe(6)
    expect(lossesOf(await collect(trainer)).map(([type, step]) => `${type} ${step}`)).toEqual([
      'step 7',
      'step 8',
      'evaluation 8',
    ])
  })
})

describe('resume', () => {
  const resume = async (options: Partial<TrainerOptions> = {}, wide = {}): Promise<unknown> => {
    using model = tinyModel(wide)
    using trainer = tinyTrainer(model, { out, ...options })
    return await trainer.resume()
  }

  it('refuses a folder without a run, and a trainer without a folder', async () => {
    await expect(resume()).rejects.toThrow('no training was begun there')
    await expect(resume({ out: join(out, 'none') })).rejects.toThrow(FileError)
    using model = tinyModel()
    using trainer = tinyTrainer(model)
    await expect(trainer.resume()).rejects.toThrow(ArgumentError)
  })

  it('refuses what is longer than the training, or of another model', async () => {
    await train([])
    await expect(resume({ steps: 11 })).rejects.toThrow('12 steps are done already')
    await expect(resume({}, { hiddenSize: 48 })).rejects.toThrow('should have shape')
    await expect(resume({}, { layers: 1 })).rejects.toThrow('loadStateDict: unknown')
  })

  it('refuses damaged files', async () => {
    await train([])
    const state = join(out, 'trainer-state.safetensors')
    const bytes = await readFile(state)
    await writeFile(state, bytes.subarray(0, 500))
    await expect(resume()).rejects.toThrow(FileError)
    const text = bytes.toString('latin1')
    await writeFile(state, text.replace('\\"step\\":12', '\\"step\\":-1'), 'latin1')
    await expect(resume()).rejects.toThrow('not the state of a training')
    await writeFile(state, text.replace(/(batches\\":\[)\d\d\d/, '$11.5'), 'latin1')
    await expect(resume()).rejects.toThrow('not the state of a training')
    await writeFile(state, bytes)
    await writeFile(join(out, 'metrics.jsonl'), '{"step":1\n{}\n')
    using model = tinyModel()
    using trainer = tinyTrainer(model, { out })
    await trainer.resume()
    await expect(collect(trainer)).rejects.toThrow(/metrics\.jsonl: line 1: not valid JSON/)
  })
})
