import { afterEach, describe, expect, it, vi } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { native } from '../../lib/native/load.ts'
import { runtime } from '../../lib/runtime.ts'
import type { GPT } from '../../lib/models/gpt.ts'
import { constantRate } from '../../lib/train/schedule.ts'
import { causalLM } from '../../lib/train/causal-lm.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import type { TrainerEvent } from '../../lib/train/trainer-state.ts'
import { collect, context, lossesOf, tinyModel, tinyTask, tinyTrainer, weightsOf } from './tiny.ts'

const threads = runtime.threads()
afterEach(() => {
  runtime.setThreads(threads)
  vi.restoreAllMocks()
})

const { train, validation } = { train: new Int32Array(100), validation: new Int32Array(50) }

describe('Trainer', () => {
  it('gives an event for each step, and for each evaluation that is due', async () => {
    using model = tinyModel()
    using trainer = tinyTrainer(model)
    const events = await collect(trainer)
    expect(events.map(({ type, step }) => `${type} ${step}`)).toEqual([
      ...[1, 2, 3, 4, 5].map((step) => `step ${step}`),
      'evaluation 5',
      ...[6, 7, 8, 9, 10].map((step) => `step ${step}`),
      'evaluation 10',
      'step 11',
      'step 12',
      'evaluation 12',
    ])
    expect(trainer.step).toBe(12)
    expect(await collect(trainer)).toEqual([])
  })

  it.each(['f32', 'bf16'] as const)('in %s has the same bits on any number of threads', async (precision) => {
    const run = async (count: number): Promise<unknown> => {
      runtime.setThreads(count)
      // Large enough for every kind of instruction to be split.
      using model = tinyModel({ hiddenSize: 128, heads: 4, context: 64, dropout: 0.1 })
      const tokens = Int32Array.from({ length: 3000 }, (_, i) => (i * i) % 11)
      const task = causalLM({ train: tokens, validation: tokens.subarray(0, 700), context: 64 })
      using trainer = tinyTrainer(model, { task, batchSize: 8, steps: 4, precision })
      return { losses: lossesOf(await collect(trainer)), weights: weightsOf(model) }
    }
    const one = await run(1)
    expect(await run(2)).toEqual(one)
    expect(await run(5)).toEqual(one)
  })

  it('depends on the seed: by the batches, and by the dropouts', async () => {
    const losses = async (seed: number, dropout: number, windows: number): Promise<unknown> => {
      using model = tinyModel({ dropout })
      const task = causalLM({ train: Int32Array.from({ length: windows }, (_, i) => i % 7), context })
      using trainer = tinyTrainer(model, { task, seed, steps: 3 })
      return lossesOf(await collect(trainer))
    }
    expect(await losses(1, 0, 100)).not.toEqual(await losses(2, 0, 100))
    // A single window: all batches are the same.
    expect(await losses(1, 0, context + 1)).toEqual(await losses(2, 0, context + 1))
    expect(await losses(1, 0.2, context + 1)).not.toEqual(await losses(2, 0.2, context + 1))
  })

  it('learns in bf16 nearly as in f32, but not by the same numbers', async () => {
    const train = async (precision?: 'f32' | 'bf16'): Promise<number[]> => {
      using model = tinyModel()
      using trainer = tinyTrainer(model, { steps: 40, ...(precision && { precision }) })
      return (await collect(trainer)).map(({ loss }) => loss)
    }
    const [usual, f32, bf16] = [await train(), await train('f32'), await train('bf16')]
    expect(f32).toEqual(usual)
    expect(bf16).not.toEqual(f32)
    const mean = (losses: number[]): number => losses.reduce((sum, loss) => sum + loss) / losses.length
    expect(Math.abs(mean(bf16) / mean(f32) - 1)).toBeLessThan(0.01)
    expect(Math.abs(bf16[0]! / f32[0]! - 1)).toBeLessThan(0.001)
  })

  it('learns a small text by heart', async () => {
    using model = tinyModel()
    const text = Int32Array.from({ length: 60 }, (_, i) => (i * i * 7 + (i >> 2)) % 11)
    using trainer = tinyTrainer(model, {
      task: causalLM({ train: text, context }),
      steps: 300,
      batchSize: 8,
      schedule: constantRate(5e-3),
    })
    const events = await collect(trainer)
    expect(events[0]!.loss).toBeCloseTo(Math.log(11), 1)
    // A batch of 8 by itself is luck.
    const last = events.slice(-10).map(({ loss }) => loss)
    expect(last.reduce((sum, loss) => sum + loss) / last.length).toBeLessThan(0.3)
  })

  it('is one native run per step', async () => {
    let runs = 0
    const { Program } = native
    native.Program = class extends Program {
      override run(...given: Parameters<InstanceType<typeof Program>['run']>): number {
        runs++
        return super.run(...given)
      }
      override runSync(...given: Parameters<InstanceType<typeof Program>['runSync']>): void {
        runs++
        super.runSync(...given)
      }
    }
    try {
      const execute = vi.spyOn(native, 'execute')
      using model = tinyModel()
      using trainer = tinyTrainer(model, { task: causalLM({ train: Int32Array.from(train), context }), steps: 7 })
      const events = trainer[Symbol.asyncIterator]()
      await events.next()
      for (let step = 2; step <= 7; step++) {
        runs = 0
        execute.mockClear()
        await events.next()
        expect([runs, execute.mock.calls.length]).toEqual([1, 0])
      }
    } finally {
      native.Program = Program
    }
  })

  it('takes no more memory the longer it trains, and gives it back', async () => {
    const before = runtime.liveBytes()
    {
      using model = tinyModel()
      using trainer = tinyTrainer(model, { steps: 200 })
      const seen = new Set<string>()
      for await (const { type, step } of trainer)
        if (type === 'step' && step > 6) seen.add(`${runtime.liveBytes()} ${trainer.memoryBytes}`)
      expect(seen.size).toBe(1)
      expect(trainer.memoryBytes).toBeGreaterThan(0)
    }
    expect(runtime.liveBytes()).toBe(before)
  })

  it('says which step lost its way', async () => {
    using model = tinyModel()
    using trainer = tinyTrainer(model, { schedule: constantRate(1e38), clipNorm: Infinity })
    await expect(collect(trainer)).rejects.toThrow(/the loss of step \d+ is NaN; lower the learning rate/)
  })

  it('scales the learning rate by the schedule', async () => {
    using model = tinyModel()
    using trainer = tinyTrainer(model, { schedule: (step, steps) => step / steps / 1000 })
    const steps = (await collect(trainer)).filter((event) => event.type === 'step')
    expect(steps.map(({ learningRate }) => learningRate * 12_000)).toEqual(
      steps.map(({ step }) => expect.closeTo(step)),
    )
  })

  it.each([
    { steps: 0 },
    { batchSize: 1.5 },
    { clipNorm: -1 },
    { seed: -1 },
    { evaluateEvery: 0 },
    { saveEvery: 3 },
    { saveEvery: 0, out: 'x' },
    { out: '' },
    { task: {} },
    { batch: 3 },
  ])('refuses %j', (options) => {
    using model = tinyModel()
    expect(() => tinyTrainer(model, options as never)).toThrow(ArgumentError)
  })

  it('refuses a model without anything to train', () => {
    using model = tinyModel()
    for (const parameter of model.parameters().values()) parameter.trainable = false
    expect(() => tinyTrainer(model)).toThrow('the model has no trainable parameter')
  })
})

const countsOf = ({ state: { step, evaluated, batches } }: Trainer): unknown => ({ step, evaluated, batches })

describe('an abort', () => {
  /** Steps of some milliseconds, for an abort to find them under way. */
  const make = (signal?: AbortSignal): { model: GPT; trainer: Trainer; [Symbol.dispose](): void } => {
    const model = tinyModel({ dropout: 0.1, hiddenSize: 96, context: 64 })
    const tokens = Int32Array.from({ length: 3000 }, (_, i) => (i * i) % 11)
    const task = causalLM({ train: tokens, validation: tokens, context: 64 })
    const trainer = tinyTrainer(model, { task, batchSize: 16, steps: 6, ...(signal && { signal }) })
    return { model, trainer, [Symbol.dispose]: () => [model, trainer].forEach((held) => held.dispose()) }
  }

  // On a busy machine a step may be through before this thread is let to abort it: then it is tried again.
  it.each([0, 3, 5, 7])(
    'after event %i leaves whole steps, and a state that goes on bit for bit',
    { retry: 4 },
    async (at) => {
      using whole = make()
      const expected = await collect(whole.trainer)

      const controller = new AbortController()
      using first = make(controller.signal)
      const source = first.trainer[Symbol.asyncIterator]()
      const events: TrainerEvent[] = []
      while (events.length < at) events.push((await source.next()).value as TrainerEvent)
      const before = { weights: weightsOf(first.model), counts: countsOf(first.trainer) }
      const next = source.next()
      controller.abort()
      expect(await next).toEqual({ value: undefined, done: true })
      expect({ weights: weightsOf(first.model), counts: countsOf(first.trainer) }).toEqual(before)

      using second = make()
      second.model.loadStateDict(first.model.parameters())
      second.trainer.restore(first.trainer.state)
      events.push(...(await collect(second.trainer)))
      expect(lossesOf(events)).toEqual(lossesOf(expected))
      expect(weightsOf(second.model)).toEqual(weightsOf(whole.model))
    },
  )

  it('before the start does nothing', async () => {
    using model = tinyModel()
    using trainer = tinyTrainer(model, { signal: AbortSignal.abort() })
    expect(await collect(trainer)).toEqual([])
    expect(trainer.step).toBe(0)
  })

  it('takes nothing that is no abort for one', async () => {
    using model = tinyModel()
    const task = { ...tinyTask, loss: () => expect.fail('no loss') }
    using trainer = tinyTrainer(model, { task, signal: new AbortController().signal })
    await expect(collect(trainer)).rejects.toThrow('no loss')
  })
})

describe('causalLM', () => {
  it('refuses texts that are too short, and says which', () => {
    expect(() => causalLM({ train, validation, context: 50 })).toThrow(
      'causalLM: validation should be an Int32Array of more than 50 tokens',
    )
    expect(() => causalLM({ train, context: 100 })).toThrow('causalLM: train should be')
    expect(() => causalLM({ train: [1, 2, 3] as never, context: 2 })).toThrow(ArgumentError)
  })
})

it('a task alone says what is trained', () => {
  using model = tinyModel()
  expect(() => new Trainer(model, { task: undefined, steps: 1, batchSize: 1 } as never)).toThrow(
    'task should be a task',
  )
})
