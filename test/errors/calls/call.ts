import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CharTokenizer, GPT, nn, Random, tensor, type Tensor } from '../../../lib/index.ts'
import { causalLM, Trainer } from '../../../lib/train/index.ts'
import {
  tensorOf,
  optional,
  but,
  operand,
  integer,
  number,
  boolean,
  fn,
  oneOf,
  axis,
  instance,
  options,
  type Kind,
} from '../kinds.ts'

/** How a public function is called, and so how it can be called wrongly. */
export interface Call {
  readonly args: readonly Kind[]
  /** What it is a method of. */
  readonly on?: Kind
  /** What messages begin with, where it is not the name of the function. */
  readonly named?: RegExp
  /** What even right arguments give, as the files or the state are not there. */
  readonly fails?: RegExp
}

export const any = Number.MAX_SAFE_INTEGER
export const scratch = mkdtempSync(join(tmpdir(), 'heedful-errors-'))
/** A new, empty one. */
export const folder = (): string => mkdtempSync(join(scratch, 'folder-'))
export const activation = oneOf('relu', 'gelu', 'geluTanh', 'silu', 'sigmoid', 'tanh')
export const seed = integer(0, any)
export const scalar = tensorOf([], { wrongShapes: [[1], [2]] })
export const intScalar = tensorOf([], { dtype: 'i32', value: 1, wrongShapes: [[2], [1, 1]] })
export const binary: Call = {
  args: [operand([2, 3], { wrongShapes: [[4], [2, 4]] }), operand([2, 3], { wrongShapes: [[4]] })],
}
export const reduce: Call = {
  args: [tensorOf([2, 3]), options({}, { axis: but(axis(2), 'array'), keepDims: boolean })],
}
export const softmax: Call = { args: [tensorOf([2, 3]), options({}, { axis: axis(2) })] }
export const random = instance(() => 'zeros')
export const dropProbability = number(0, 0.999999)
export const onTensor = (...args: Kind[]): Call => ({ args, on: tensorOf([2, 3]) })
export const dropoutSource = optional(instance(() => new nn.DropoutSource(tensor.zeros([], { dtype: 'i32' }))))
export const dim = 4
export const width = { dim: integer(1, any, dim), heads: integer(1, any, 2) }
export const keyLengths = tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] })
export const on = (create: () => unknown): Pick<Call, 'on'> => ({ on: { valid: create, wrong: [] } })
export const dropping = options({}, { dropout: dropoutSource })
export const loss = fn(
  () =>
    ({ x }: { x: Tensor }) =>
      x.sum(),
)
export const oneTensor = tensorOf([2])
export const anyTensor = tensorOf([], { wrongDTypes: [] })
/** Given by the package itself. */
export const trusted = (value: unknown): Kind => ({ valid: () => value, wrong: [] })

/** What methods are called on. */
export const make = {
  random: () => new Random(1),
  attention: () => new nn.MultiHeadAttention({ dim, heads: 2 }),
  encoder: () => new nn.TransformerEncoder({ dim, heads: 2, ffn: 4, layers: 1 }),
  decoder: () => new nn.TransformerDecoder({ dim, heads: 2, ffn: 4, layers: 1 }),
  transformer: () => new nn.Transformer({ dim, heads: 2, ffn: 4, encoderLayers: 1, decoderLayers: 1 }),
  cache: () => new nn.KeyValueCache({ layers: 1, kvHeads: 1, headDim: 2, capacity: 2 }),
  linear: () => new nn.Linear(dim, 2),
  gpt: () => new GPT({ vocabSize: 5, layers: 1, heads: 2, hiddenSize: 4, context: 4 }),
  tokenizer: () => CharTokenizer.train('abc'),
  task: () => causalLM({ train: new Int32Array(9), validation: new Int32Array(9), context: 4 }),
  trainer: () => new Trainer(make.gpt(), { task: make.task(), steps: 1, batchSize: 1 }),
}
export const gpt = instance(make.gpt)
