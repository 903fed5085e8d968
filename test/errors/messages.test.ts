import { expect, it } from 'vitest'
import {
  ArgumentError,
  DisposedError,
  DTypeError,
  GPT,
  grad,
  type HeedfulError,
  nn,
  ops,
  runtime,
  ShapeError,
  tensor,
  TraceError,
} from '../../lib/index.ts'
import { adamW, Trainer } from '../../lib/train/index.ts'

const x = tensor.zeros([2, 3])
const disposed = (): ReturnType<typeof tensor.zeros> => {
  const t = tensor.zeros([2, 3])
  t.dispose()
  return t
}

/** What a person reads who made a usual mistake: the operation, what was expected, what came, what to do. */
const mistakes: readonly (readonly [
  error: abstract new (...args: never[]) => HeedfulError,
  message: string,
  make: () => unknown,
])[] = [
  [ShapeError, 'matmul: a [2, 3] has 3 columns, b [2, 3] has 2 rows; they should be equal', () => x.matmul(x)],
  [
    ShapeError,
    'add: shapes [2, 3] and [2] do not broadcast: 3 against 2; make these dimensions equal, or one of them 1',
    () => x.add(tensor([1, 2])),
  ],
  [ShapeError, 'reshape: [2, 3] (6 elements) does not reshape to [4, -1]', () => x.reshape([4, -1])],
  [ShapeError, 'softmax: axis should be an integer from -2 to 1 for rank 2, got 2', () => x.softmax({ axis: 2 })],
  [ShapeError, 'tensor: shape [2, 2] holds 4 elements, got 3', () => tensor([1, 2, 3], { shape: [2, 2] })],
  [
    ShapeError,
    'tensor: expected 2 elements at [1], got [3]; nested arrays must be rectangular',
    () => tensor([[1, 2], [3]]),
  ],
  [
    ShapeError,
    'tensor.zeros: expected a shape of whole numbers of at least 0, got [2, NaN]',
    () => tensor.zeros([2, NaN]),
  ],
  [ShapeError, 'item: expected a tensor of one element, got shape [2, 3]', () => x.item()],
  [
    DTypeError,
    "embedding: ids should be i32, got f32; make it with tensor(…, { dtype: 'i32' })",
    () => ops.embedding(x, x),
  ],
  [
    DTypeError,
    "add: b should be f32 or f64, got i32; convert it with cast('f32')",
    () => x.add(tensor(Int32Array.of(1))),
  ],
  [
    DTypeError,
    "add: b should be f32 or f64, got bf16; convert it with cast('f32')",
    () => x.add(tensor([1], { dtype: 'bf16' })),
  ],
  [
    DTypeError,
    'tensor.zeros: expected a dtype of f32, f64, i32, bf16, got "float32"',
    () => tensor.zeros([1], { dtype: 'float32' as never }),
  ],
  [
    DTypeError,
    'tensor: expected a Float32Array, Float64Array or Int32Array, or a Uint16Array of bits with the dtype bf16, got an Uint8Array',
    () => tensor(new Uint8Array(2) as never),
  ],
  [
    ArgumentError,
    'attention: unknown option "casual"; did you mean causal?',
    () => ops.attention(x, x, x, { casual: true } as never),
  ],
  [ArgumentError, 'softmax: unknown option "temperature"; known: axis', () => x.softmax({ temperature: 1 } as never)],
  [
    ArgumentError,
    'sum: keepDims should be true or false, got 1; or leave it out',
    () => x.sum({ keepDims: 1 as never }),
  ],
  [
    ArgumentError,
    'tensor.randn: seed should be a value, got null; or leave it out',
    () => tensor.randn([1], { seed: null as never }),
  ],
  [
    ArgumentError,
    'matmul: a should be a tensor, got [1, 2]; make one with tensor(…)',
    () => ops.matmul([1, 2] as never, x),
  ],
  [
    ArgumentError,
    'matmul: activation should be one of relu, gelu, geluTanh, silu, sigmoid, tanh, got "gelu_tanh"; did you mean geluTanh?',
    () => ops.matmul(x, x.transpose(), { activation: 'gelu_tanh' as never }),
  ],
  [
    ArgumentError,
    'MultiHeadAttention: dim (10) should be a multiple of heads (4), or headDim be given',
    () => new nn.MultiHeadAttention({ dim: 10, heads: 4 }),
  ],
  [
    ArgumentError,
    "Linear: random should be a Random or 'zeros', got 42",
    () => new nn.Linear(1, 1, { random: 42 as never }),
  ],
  [ArgumentError, 'GPT: unknown option "numLayers"; did you mean layers?', () => new GPT({ numLayers: 1 } as never)],
  [
    ArgumentError,
    'Trainer: expected a DecoderModel, got undefined',
    () => new Trainer(undefined as never, {} as never),
  ],
  [
    ArgumentError,
    'adamW: unknown option "weight_decay"; did you mean weightDecay?',
    () => adamW({ weight_decay: 0.1 } as never),
  ],
  [
    ArgumentError,
    'runtime.setThreads: threads should be an integer from 1 to 1024, got 0',
    () => runtime.setThreads(0),
  ],
  [DisposedError, 'add: this tensor [2, 3] was disposed; keep it alive until its last use', () => disposed().add(1)],
  [DisposedError, 'data: this tensor [2, 3] was disposed; keep it alive until its last use', () => disposed().data()],
  [
    TraceError,
    'grad: the loss does not depend on anything that was traced; compute it from the inputs or parameters',
    () => grad(() => x, [])({}),
  ],
]

it.each(mistakes.map(([error, message, make]) => [message, error, make] as const))('%s', (message, error, make) => {
  expect(make).toThrow(error)
  expect(make).toThrow(expect.objectContaining({ message }))
})
