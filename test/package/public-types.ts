/**
 * What the public types promise: checked by the compiler, in the repository and against the declarations that are
 * published (types.test.ts). Nothing here runs.
 */
import {
  AutoTokenizer,
  compile,
  generate,
  GPT,
  grad,
  nn,
  ops,
  tensor,
  trainTokenizer,
  valueAndGrad,
  type Compiled,
  type Encoding,
  type Parameter,
  type Tensor,
  type Tokenizer,
} from '../../lib/index.ts'
import { bench, type BenchResult } from '../../lib/bench/index.ts'
import { adamW, causalLM, Trainer, type TrainerEvent } from '../../lib/train/index.ts'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles only if the type of `value` is T, not merely assignable. */
declare function expectType<T>(): <V>(value: V, ...same: Same<V, T> extends true ? [] : [never]) => void

// ---- tensors know their element type
expectType<Tensor<'f32'>>()(tensor([1, 2]))
expectType<Tensor<'f32'>>()(tensor.zeros([2]))
expectType<Tensor<'i32'>>()(tensor.zeros([2], { dtype: 'i32' }))
expectType<Tensor<'i32'>>()(tensor.arange(3))
expectType<Tensor<'f64'>>()(tensor(Float64Array.of(1)))
expectType<Tensor<'i32'>>()(tensor(Int32Array.of(1), { shape: [1, 1] }))
expectType<Float32Array>()(tensor.zeros([2]).data())
expectType<Int32Array>()(tensor.arange(2).data())
expectType<Tensor<'f32'>>()(tensor.zeros([2]).add(1).exp())
expectType<number>()(tensor.zeros([]).item())
expectType<readonly number[]>()(tensor.zeros([]).shape)

// @ts-expect-error no such dtype
tensor.zeros([2], { dtype: 'float32' })
// @ts-expect-error a shape is a list
tensor.zeros(2)
// @ts-expect-error shapes can not be changed
tensor.zeros([2]).shape[0] = 3
// @ts-expect-error arrays of strings hold no numbers
tensor(['1'])
// @ts-expect-error 64-bit integers are no element type
tensor(new BigInt64Array(2))

// ---- operations and layers take the options that they have
const x = tensor.zeros([2, 3])
expectType<Tensor>()(ops.softmax(x, { axis: 1 }))
// @ts-expect-error no such option
ops.softmax(x, { axes: 1 })
// @ts-expect-error an option of the wrong type
ops.sum(x, { keepDims: 1 })
// @ts-expect-error a name that is none
ops.matmul(x, x, { activation: 'swish' })
// @ts-expect-error options that are required
ops.dropout(x, {})
// @ts-expect-error no such option
void new nn.Linear(2, 3, { bais: false })
// @ts-expect-error the number of heads is missing
void new nn.MultiHeadAttention({ dim: 8 })
// @ts-expect-error modules are extended
void new nn.Module()
expectType<Map<string, Parameter>>()(new nn.Linear(2, 3).parameters())

// ---- programs: inputs may be given as data, results are those of the function
const program = compile(({ a, n }: { a: Tensor; n: { lengths: Tensor } }) => ({ sum: ops.sum(a), all: [a, n.lengths] }))
expectType<Promise<{ sum: Tensor; all: Tensor[] }>>()(
  program.run({ a: Float32Array.of(1), n: { lengths: 3 } }, { signal: AbortSignal.timeout(1) }),
)
expectType<{ sum: Tensor; all: Tensor[] }>()(program.runSync({ a: x, n: { lengths: Int32Array.of(1) } }))
// @ts-expect-error a missing input
program.runSync({ a: x })
// @ts-expect-error a string is no tensor
program.runSync({ a: 'x', n: { lengths: 3 } })
// @ts-expect-error no such option
void program.run({ a: x, n: { lengths: 3 } }, { timeout: 3 })
// @ts-expect-error rows need a capacity
compile(() => x, { rows: { inputs: ['a'] } })

// ---- gradients come in the structure of what they are taken of
const loss = ({ a }: { a: Tensor }): Tensor => ops.sum(a)
expectType<Map<string, Tensor>>()(grad(loss, new Map<string, Parameter>())({ a: x }))
expectType<{ w: Tensor; b: Tensor }>()(grad(loss, { w: x, b: x })({ a: x }))
expectType<Tensor[]>()(valueAndGrad(loss, [x])({ a: x }).grads)
expectType<Map<Parameter, Tensor>>()(valueAndGrad(loss)({ a: x }).grads)
expectType<Compiled<{ a: Tensor }, { value: Tensor; grads: Map<Parameter, Tensor> }>>()(compile(valueAndGrad(loss)))

// ---- models and training
const model = new GPT({ vocabSize: 5, layers: 1, heads: 2, hiddenSize: 4, context: 4 })
expectType<AsyncGenerator<number, void, undefined>>()(generate(model, [1], { maxNewTokens: 2 }))
// @ts-expect-error no such option
generate(model, [1], { maxTokens: 2 })
const task = causalLM({ train: new Int32Array(9), context: 4 })
const trainer = new Trainer(model, { task, steps: 1, batchSize: 1, optimizer: adamW({ weightDecay: 0.1 }) })
expectType<AsyncIterator<TrainerEvent>>()(trainer[Symbol.asyncIterator]() as AsyncIterator<TrainerEvent>)
// @ts-expect-error the number of steps is missing
void new Trainer(model, { task, batchSize: 1 })
// @ts-expect-error tokens are integers
causalLM({ train: new Float32Array(9), context: 4 })

// ---- measurements
expectType<Promise<BenchResult>>()(bench('sum', () => 1, { flops: 2, bytes: { read: 8 } }))
// @ts-expect-error bytes are read, written or updated
void bench('sum', () => 1, { bytes: { wrote: 8 } })

// ---- tokenizers are functions of a text or texts
expectType<Promise<Tokenizer>>()(AutoTokenizer.fromPretrained('folder'))
declare const tokenizer: Tokenizer
expectType<Encoding>()(
  tokenizer(['short', 'a much longer text'], { padding: true, truncation: 'longestFirst', maxLength: 8 }),
)
expectType<number[][]>()(tokenizer('short').inputIds)
expectType<[start: number, end: number][][] | undefined>()(tokenizer('short', { returnOffsets: true }).offsets)
expectType<Int32Array>()(tokenizer.encode('short', { addSpecialTokens: false }))
expectType<string>()(tokenizer.decode([1, 2], { skipSpecialTokens: true }))
expectType<number | undefined>()(tokenizer.padTokenId)
const chat = [{ role: 'user', content: 'Hello' }]
expectType<string>()(tokenizer.applyChatTemplate(chat, { tokenize: false, addGenerationPrompt: true }))
expectType<Int32Array>()(tokenizer.applyChatTemplate(chat))
// @ts-expect-error messages have a role
tokenizer.applyChatTemplate([{ content: 'Hello' }])
// @ts-expect-error options are in camelCase
tokenizer('short', { max_length: 8 })
// @ts-expect-error no such strategy
tokenizer('short', { truncation: 'longest_first' })
expectType<Promise<Tokenizer>>()(trainTokenizer('bpe', ['a text'], { vocabSize: 300 }))
// @ts-expect-error the size is missing
void trainTokenizer('wordpiece', ['a text'], {})
