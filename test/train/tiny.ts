import { GPT, type GptOptions } from '../../lib/models/gpt.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { Random } from '../../lib/tensor/random.ts'
import { causalLM } from '../../lib/train/causal-lm.ts'
import { warmupCosine } from '../../lib/train/schedule.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import type { TrainerEvent } from '../../lib/train/trainer-state.ts'
import type { TrainerOptions } from '../../lib/train/trainer-options.ts'

export const context = 16
const vocabSize = 11

export const tinyModel = (options: Partial<GptOptions> = {}): GPT =>
  new GPT({ vocabSize, layers: 2, heads: 2, hiddenSize: 32, context, seed: 5, ...options })

const random = new Random(3)
const tokens = Int32Array.from({ length: 2000 }, () => random.integer(vocabSize))

export const tinyTask = causalLM({ train: tokens.subarray(0, 1500), validation: tokens.subarray(1500), context })

export const tinyTrainer = (model: DecoderModel, options: Partial<TrainerOptions> = {}): Trainer =>
  new Trainer(model, {
    task: tinyTask,
    steps: 12,
    batchSize: 3,
    schedule: warmupCosine({ peak: 1e-2, warmup: 2 }),
    evaluateEvery: 5,
    seed: 9,
    ...options,
  })

/** What two equal trainings have in common. */
export const lossesOf = (events: readonly TrainerEvent[]): [string, number, number][] =>
  events.map(({ type, step, loss }) => [type, step, loss])

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

/** The bits of all parameters. */
export const weightsOf = (model: DecoderModel): Record<string, Int32Array> =>
  Object.fromEntries([...model.parameters()].map(([name, p]) => [name, new Int32Array(p.data().buffer.slice(0))]))
