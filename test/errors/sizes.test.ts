import { describe, expect, it } from 'vitest'
import {
  ArgumentError,
  compile,
  ExecutionError,
  GPT,
  nn,
  ops,
  ShapeError,
  tensor,
  type Tensor,
} from '../../lib/index.ts'
import { causalLM, Trainer } from '../../lib/train/index.ts'

const tera = 1e12
const one = tensor.ones([1])
const column = tensor.ones([2 ** 22, 1])
const row = tensor.ones([1, 2 ** 22])
const gpt = (): GPT => new GPT({ vocabSize: 5, layers: 1, heads: 2, hiddenSize: 4, context: 4 })
const task = causalLM({ train: new Int32Array(9), context: 4 })

/** What asks for more than any machine has. Each has to be refused before memory is taken. */
const cases: readonly (readonly [
  name: string,
  ask: () => unknown,
  error: new (message: string) => Error,
  message: string,
])[] = [
  [
    'a size that is no exact number',
    () => tensor.zeros([2 ** 31, 2 ** 31]),
    ShapeError,
    'tensor.zeros: a tensor of shape [2147483648, 2147483648] is too large',
  ],
  ['a size of 2^53', () => tensor.zeros([2 ** 53]), ShapeError, 'tensor.zeros'],
  ['zeros beside a huge size', () => tensor.zeros([0, 2 ** 31, 2 ** 31]), ShapeError, 'tensor.zeros'],
  [
    '4 TB of zeros',
    () => tensor.zeros([tera]),
    ExecutionError,
    'tensor.zeros: a tensor of shape [1000000000000] takes 4000000000000 bytes, but this machine has',
  ],
  ['4 TB of ones', () => tensor.ones([tera]), ExecutionError, 'tensor.ones'],
  ['4 TB of random numbers', () => tensor.randn([tera]), ExecutionError, 'tensor.randn'],
  ['8 TB in f64', () => tensor.full([1e6, 1e6], 1, { dtype: 'f64' }), ExecutionError, 'tensor.full'],
  ['a range', () => tensor.arange(tera), ExecutionError, 'tensor.arange'],
  ['a range of 2^53 − 1', () => tensor.arange(Number.MAX_SAFE_INTEGER), ShapeError, 'tensor.arange'],
  ['fill', () => ops.fill([tera], 1), ExecutionError, 'fill'],
  ['broadcastTo', () => ops.broadcastTo(one, [tera]), ExecutionError, 'broadcastTo'],
  ['pad', () => ops.pad(one, 0, tera, 0), ExecutionError, 'pad'],
  ['pad beyond 2^53', () => ops.pad(one, 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), ShapeError, 'pad'],
  ['an outer product', () => ops.matmul(column, row), ExecutionError, 'matmul'],
  ['an outer sum', () => ops.add(column, row), ExecutionError, 'add'],
  ['split into too many parts', () => ops.split(one, tera), ArgumentError, 'split: sections'],
  ['split an empty axis', () => ops.split(tensor.zeros([0]), tera), ArgumentError, 'split: sections'],
  [
    'a traced outer product',
    () =>
      compile(({ a, b }: Record<string, Tensor>) => ops.sum(ops.exp(ops.matmul(a!, b!)))).runSync({
        a: column,
        b: row,
      }),
    ExecutionError,
    'takes',
  ],
  [
    'a traced result',
    () => compile(({ a, b }: Record<string, Tensor>) => ops.matmul(a!, b!)).runSync({ a: column, b: row }),
    ExecutionError,
    'takes',
  ],
  [
    'a capacity of rows',
    () =>
      compile(({ x }: { x: Tensor }) => ops.exp(x), { rows: { capacity: 2 ** 32, inputs: ['x'] } }).runSync({
        x: tensor.ones([1, 2 ** 10]),
      }),
    ExecutionError,
    'takes',
  ],
  ['Linear', () => new nn.Linear(1e6, 1e6), ExecutionError, 'Parameter'],
  ['Embedding', () => new nn.Embedding(tera, 1), ExecutionError, 'Parameter'],
  ['LayerNorm', () => new nn.LayerNorm(tera), ExecutionError, 'Parameter'],
  [
    'a stack of layers',
    () => new nn.TransformerEncoder({ dim: 4, heads: 1, layers: 1e9 }),
    ArgumentError,
    'TransformerEncoder: layers should be an integer from 0 to 10000',
  ],
  [
    'a cache',
    () => new nn.KeyValueCache({ layers: 1, kvHeads: 1, headDim: 1, capacity: tera }),
    ExecutionError,
    'KeyValueCache',
  ],
  [
    'a cache of many layers',
    () => new nn.KeyValueCache({ layers: 1e9, kvHeads: 1, headDim: 1, capacity: 1 }),
    ArgumentError,
    'KeyValueCache: layers',
  ],
  [
    'a model of many layers',
    () => new GPT({ vocabSize: 5, layers: 1e9, heads: 1, hiddenSize: 4, context: 4 }),
    ArgumentError,
    'numLayers',
  ],
  [
    'a vocabulary',
    () => new GPT({ vocabSize: 1e11, layers: 1, heads: 1, hiddenSize: 4, context: 4 }),
    ExecutionError,
    'Parameter',
  ],
  [
    'a context',
    () => new GPT({ vocabSize: 5, layers: 1, heads: 1, hiddenSize: 4, context: 1e12 }),
    ExecutionError,
    'Parameter',
  ],
  [
    'a batch',
    () => new Trainer(gpt(), { task, steps: 1, batchSize: 1e9 }),
    ArgumentError,
    'batchSize should be an integer from 1 to',
  ],
]

describe('sizes beyond any machine', () => {
  it.each(cases)('%s', (_, ask, error, message) => {
    const before = process.memoryUsage().rss
    expect(ask).toThrow(error)
    expect(ask).toThrow(message)
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 28)
  })

  it('a tensor that contains itself', () => {
    const endless: unknown[] = []
    endless.push(endless)
    expect(() => tensor(endless as never)).toThrow(ShapeError)
    expect(() => tensor.zeros(endless as never)).toThrow(ShapeError)
  })
})
