import { matmul } from '../../ops/matmul.ts'
import { transpose } from '../../ops/view.ts'
import { bytesOf, cold, floats, type Example, type Family, type Input, type Subject, type Tensors } from '../case.ts'
import type { Tensor } from '../../tensor/tensor.ts'

const dimensions = ['M', 'N', 'K']

/** C = A·B: 2·M·N·K; A and B are read once, C is written once. */
const workOf = (m: number, n: number, k: number): Subject['work'] => ({
  flops: 2 * m * n * k,
  read: bytesOf(m, k) + bytesOf(k, n),
  written: bytesOf(m, n),
})

const product = (
  variant: string,
  operands: (m: number, n: number, k: number) => { a: Input; b: Input },
  run: (inputs: Tensors) => Tensor,
  examples: readonly Example[],
): Family => ({
  op: 'matmul',
  ...(variant && { variant }),
  instruction: 'matmul',
  dimensions,
  examples,
  subject: (m, n, k) => ({
    work: workOf(m!, n!, k!),
    inputs: operands(m!, n!, k!),
    run,
  }),
})

const example = (name: string, m: number, n: number, k: number, quick = false): Example => ({
  name,
  sizes: [m, n, k],
  quick,
})

const straight = ({ a, b }: Tensors): Tensor => matmul(a!, b!)
const byRows = ({ a, b }: Tensors): Tensor => matmul(a!, transpose(b!))

export const matmulFamilies: readonly Family[] = [
  product('', (m, n, k) => ({ a: floats(m, k), b: floats(k, n) }), straight, [
    example('BERT-base attention output, 128 tokens', 128, 768, 768, true),
    example('GPT-2 MLP up, 128 tokens', 128, 3072, 768, true),
    example('GPT-2 MLP down, 128 tokens', 128, 768, 3072, true),
    example('GPT-2 query, key, value, 128 tokens', 128, 2304, 768),
    example('GPT-2 MLP up, prefill of 512', 512, 3072, 768, true),
    example('MiniLM MLP up, 128 tokens', 128, 1536, 384),
    example('Llama-1B MLP gate, prefill of 128', 128, 8192, 2048),
    example('square', 512, 512, 512),
    example('square', 1024, 1024, 1024),
    example('square', 2048, 2048, 2048),
  ]),
  product('weights (out, in)', (m, n, k) => ({ a: floats(m, k), b: floats(n, k) }), byRows, [
    example('BERT-base MLP up, 128 tokens', 128, 3072, 768),
    example('Llama-1B key, value, prefill of 512', 512, 512, 2048),
  ]),
  product('cold weights', (m, n, k) => ({ a: floats(m, k), b: cold(k, n) }), straight, [
    example('GPT-2 attention output, 16 sequences', 16, 768, 768, true),
    example('GPT-2 MLP up, 16 sequences', 16, 3072, 768),
  ]),
  product('decode, weights (out, in)', (m, n, k) => ({ a: floats(m, k), b: cold(n, k) }), byRows, [
    example('GPT-2 MLP up', 1, 3072, 768, true),
    example('GPT-2 logits', 1, 50257, 768),
    example('Llama-1B MLP gate', 1, 8192, 2048),
  ]),
  product('backward dX = dY·Wᵀ', (m, n, k) => ({ a: floats(m, k), b: floats(n, k) }), byRows, [
    example('GPT-2 MLP up, 512 tokens', 512, 768, 3072, true),
    example('GPT-2 MLP down, 512 tokens', 512, 3072, 768),
  ]),
  product(
    'backward dW = Xᵀ·dY',
    (m, n, k) => ({ a: floats(k, m), b: floats(k, n) }),
    ({ a, b }) => matmul(transpose(a!), b!),
    [example('GPT-2 MLP up, 512 tokens', 768, 3072, 512, true), example('GPT-2 MLP down, 512 tokens', 3072, 768, 512)],
  ),
]
