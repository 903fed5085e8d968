import { multiply } from '../../ops/elementwise.ts'
import { embedding } from '../../ops/embedding.ts'
import { fill } from '../../ops/fill.ts'
import { grad } from '../../ops/gradients.ts'
import { adamWStep, globalNorm } from '../../ops/optimizer-step.ts'
import { sum } from '../../ops/reduce.ts'
import { rotaryEmbedding } from '../../ops/rotary-embedding.ts'
import { concat, reshape, transpose } from '../../ops/view.ts'
import { bytesOf, floats, indices, integer, type Example, type Family } from '../case.ts'

const example = (name: string, sizes: readonly number[], quick = false): Example => ({ name, sizes, quick })

const embeddings: readonly Family[] = [
  {
    op: 'embedding',
    instruction: 'embedding',
    dimensions: ['tokens', 'vocabulary', 'columns'],
    examples: [example('GPT-2, 512 tokens', [512, 50257, 768], true)],
    subject: (tokens, vocabulary, columns) => ({
      work: { flops: 0, read: bytesOf(tokens!, columns!) + bytesOf(tokens!), written: bytesOf(tokens!, columns!) },
      inputs: { table: floats(vocabulary!, columns!), ids: indices(vocabulary!, tokens!) },
      run: ({ table, ids }) => embedding(table!, ids!),
    }),
  },
  {
    op: 'embedding',
    variant: 'backward, the whole table',
    instruction: 'embeddingGradient',
    dimensions: ['tokens', 'vocabulary', 'columns'],
    examples: [example('GPT-2, 512 tokens', [512, 50257, 768])],
    subject: (tokens, vocabulary, columns) => ({
      work: {
        flops: tokens! * columns!,
        read: bytesOf(tokens!, columns!) + bytesOf(tokens!),
        written: bytesOf(vocabulary!, columns!),
      },
      inputs: {
        table: floats(vocabulary!, columns!),
        ids: indices(vocabulary!, tokens!),
        gradient: floats(tokens!, columns!),
      },
      run: ({ table, ids, gradient }) => grad(() => sum(multiply(embedding(table!, ids!), gradient!)), table!)({}),
    }),
  },
]

const rotary: Family = {
  op: 'rotaryEmbedding',
  instruction: 'rotary',
  dimensions: ['heads', 'length', 'headDim'],
  examples: [example('Llama-1B queries, 128 tokens', [32, 128, 64], true)],
  subject: (h, t, d) => ({
    // Sines and cosines are those of all heads.
    work: { flops: 3 * h! * t! * d!, read: bytesOf(h!, t!, d!) + bytesOf(t!), written: bytesOf(h!, t!, d!) },
    inputs: { x: floats(1, h!, t!, d!), positions: indices(2048, t!), frequencies: floats(Math.floor(d! / 2)) },
    run: ({ x, positions, frequencies }) => rotaryEmbedding(x!, positions!, frequencies!),
  }),
}

const matrixDimensions = ['rows', 'columns']
const weights = [example('Llama-1B MLP gate', [2048, 8192])]
const optimizer: readonly Family[] = [
  {
    op: 'adamWStep',
    instruction: 'adamW',
    dimensions: matrixDimensions,
    examples: [example('GPT-2 attention output', [768, 768], true), ...weights],
    subject: (rows, columns) => {
      const matrix = floats(rows!, columns!)
      return {
        work: {
          flops: 15 * rows! * columns!,
          read: bytesOf(rows!, columns!),
          written: 0,
          updated: 3 * bytesOf(rows!, columns!),
        },
        inputs: { parameter: matrix, gradient: matrix, m: matrix, v: matrix, step: integer(1) },
        run: ({ parameter, gradient, m, v, step }) =>
          adamWStep(parameter!, { gradient: gradient!, m: m!, v: v!, step: step!, learningRate: fill([], 0) }),
      }
    },
  },
  {
    op: 'globalNorm',
    instruction: 'globalNorm',
    dimensions: matrixDimensions,
    examples: weights,
    subject: (rows, columns) => ({
      work: { flops: 2 * rows! * columns!, read: bytesOf(rows!, columns!), written: 0 },
      inputs: { x: floats(rows!, columns!) },
      run: ({ x }) => globalNorm([x!]),
    }),
  },
]

const copies: readonly Family[] = [
  {
    op: 'transpose',
    variant: 'copied',
    instruction: 'copy',
    dimensions: matrixDimensions,
    examples: [example('GPT-2 attention output', [768, 768], true), ...weights],
    subject: (rows, columns) => ({
      work: { flops: 0, read: bytesOf(rows!, columns!), written: bytesOf(rows!, columns!) },
      inputs: { x: floats(rows!, columns!) },
      run: ({ x }) => reshape(transpose(x!), [-1]),
    }),
  },
  {
    op: 'concat',
    instruction: 'copy',
    dimensions: matrixDimensions,
    examples: [example('GPT-2 residual, 512 tokens', [512, 768])],
    subject: (rows, columns) => ({
      work: { flops: 0, read: bytesOf(rows!, columns!), written: bytesOf(rows!, columns!) },
      inputs: { x: floats(rows!, columns!) },
      run: ({ x }) => concat([x!], 0),
    }),
  },
  {
    op: 'fill',
    instruction: 'fill',
    dimensions: matrixDimensions,
    examples: [example('GPT-2 residual, 512 tokens', [512, 768])],
    subject: (rows, columns) => ({
      work: { flops: 0, read: 0, written: bytesOf(rows!, columns!) },
      inputs: {},
      run: () => fill([rows!, columns!], 1),
    }),
  },
]

export const memoryFamilies: readonly Family[] = [...embeddings, rotary, ...optimizer, ...copies]
