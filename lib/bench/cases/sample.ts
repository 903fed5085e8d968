import { fill } from '../../ops/fill.ts'
import { sample } from '../../ops/sample.ts'
import { bytesOf, floats, type Family } from '../case.ts'
import { operations } from './operations.ts'

const filters = {
  greedy: { temperature: 0 },
  plain: { temperature: 0.5 },
  'top-k 50': { temperature: 0.5, topK: 50 },
  'top-p 0.9': { temperature: 0.5, topP: 0.9 },
  'min-p 0.05': { temperature: 0.5, minP: 0.05 },
  'all filters': { temperature: 0.5, topK: 50, topP: 0.9, minP: 0.05 },
} as const

/** One pass over the logits is what it has to take at least. */
export const sampleFamilies: readonly Family[] = Object.entries(filters).map(
  ([variant, settings]: [string, { temperature: number; topK?: number; topP?: number; minP?: number }]) => ({
    op: 'sample',
    variant,
    instruction: 'sample',
    dimensions: ['rows', 'vocabSize'],
    examples: [
      { name: 'GPT-2', sizes: [1, 50257], quick: variant === 'top-p 0.9' },
      { name: 'Llama-1B', sizes: [1, 128256] },
      { name: 'Llama-1B, 8 sequences', sizes: [8, 128256] },
    ],
    subject: (rows, classes) => {
      const { temperature, topK, topP, minP } = settings
      const f32 = (value: number | undefined): ReturnType<typeof fill> | undefined =>
        value === undefined ? undefined : fill([rows!], value)
      return {
        work: {
          flops: (variant === 'plain' || variant === 'top-p 0.9' ? operations.exp + 3 : 1) * rows! * classes!,
          read: bytesOf(rows!, classes!),
          written: bytesOf(rows!),
        },
        inputs: { logits: floats(rows!, classes!) },
        run: ({ logits }) =>
          sample(logits!, {
            seed: fill([rows!], 1, 'i32'),
            step: fill([rows!], 2, 'i32'),
            temperature: f32(temperature),
            topK: topK === undefined ? undefined : fill([rows!], topK, 'i32'),
            topP: f32(topP),
            minP: f32(minP),
          }),
      }
    },
  }),
)
