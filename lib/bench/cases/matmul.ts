import { registry } from '../../ops/define-op.ts'
import type { Precision } from '../../graph/precision.ts'
import { swiglu } from '../../ops/gated.ts'
import { matmul } from '../../ops/matmul.ts'
import { quantize, weightFormats, type QuantizedMatrix, type WeightFormat } from '../../ops/quantize.ts'
import { transpose } from '../../ops/view.ts'
import { bytesPerElement } from '../../tensor/dtype.ts'
import { sizeOf } from '../../tensor/shape.ts'
import { operations } from './operations.ts'
import { bytesOf, cold, floats, type Data, type Example, type Family, type Input, type Subject } from '../case.ts'

const dimensions = ['M', 'N', 'K']

/** C = A·B: 2·M·N·K; A and B are read once, C is written once. */
const workOf = (m: number, n: number, k: number, bytesOfB = bytesOf(k, n)): Subject['work'] => ({
  flops: 2 * m * n * k,
  read: bytesOf(m, k) + bytesOfB,
  written: bytesOf(m, n),
})

interface Layout {
  /** What operands are rounded to while they are packed, of products in training. */
  readonly precision?: Precision
  /** A is given as [K, M], or B as [N, K], and read in place. */
  readonly transposed?: 'a' | 'b'
  /** B is another one each time. */
  readonly cold?: boolean
}

/** Σ_k A[i, k]·B[k, j] with i·N + j = index. */
const exactProduct =
  (m: number, n: number, k: number, { transposed }: Layout) =>
  ({ a, b }: Data, index: number): number => {
    const [i, j] = [Math.floor(index / n), index % n]
    const [fromA, stepA] = transposed === 'a' ? [i, m] : [i * k, 1]
    const [fromB, stepB] = transposed === 'b' ? [j * k, 1] : [j, n]
    let sum = 0
    for (let at = 0; at < k; at++) sum += a![fromA + at * stepA]! * b![fromB + at * stepB]!
    return sum
  }

const product = (variant: string, layout: Layout, examples: readonly Example[]): Family => ({
  op: 'matmul',
  ...(variant && { variant }),
  ...(layout.precision && { dtype: layout.precision }),
  instruction: 'matmul',
  dimensions,
  examples,
  subject: (...sizes) => {
    const [m, n, k] = sizes as [number, number, number]
    const { transposed, precision = 'f32' } = layout
    const matrix = layout.cold ? cold : floats
    return {
      work: workOf(m, n, k),
      inputs: {
        a: transposed === 'a' ? floats(k, m) : floats(m, k),
        b: transposed === 'b' ? matrix(n, k) : matrix(k, n),
      },
      run: ({ a, b }) =>
        matmul(transposed === 'a' ? transpose(a!) : a!, transposed === 'b' ? transpose(b!) : b!, { precision }),
      exact: exactProduct(m, n, k, layout),
    }
  },
})

/** Bytes that a matrix [k, n] takes in a format. */
function packedBytes(format: WeightFormat, k: number, n: number): number {
  const outputs = registry.get('quantize')!.infer([{ shape: [k, n], dtype: 'f32' }], { format })
  return outputs.reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * bytesPerElement[dtype], 0)
}

type Prepared = Record<string, QuantizedMatrix>
type MakePacked = (
  format: WeightFormat,
  variant: string,
  matrix: (...shape: number[]) => Input,
  examples: readonly Example[],
) => Family

/** Products by weights that were packed into a format before; `subject` is made for each shape. */
const byPacked =
  (
    subject: (given: {
      m: number
      n: number
      k: number
      format: WeightFormat
      matrix: (...shape: number[]) => Input
    }) => Subject<Prepared>,
  ): MakePacked =>
  (format, variant, matrix, examples) => ({
    op: 'matmul',
    variant,
    dtype: format,
    instruction: 'matmul',
    dimensions,
    examples,
    subject: (m, n, k) => subject({ m: m!, n: n!, k: k!, format, matrix }),
  })

/** The error is that of rounding the weights as well. */
const packed = byPacked(({ m, n, k, format, matrix }) => ({
  work: workOf(m, n, k, packedBytes(format, k, n)),
  inputs: { a: floats(m, k) },
  raw: { b: matrix(k, n) },
  prepare: ({ b }) => ({ weights: quantize(b!, format) }),
  run: ({ a }, { weights }) => matmul(a!, weights!),
  exact: exactProduct(m, n, k, {}),
}))

/** silu(A·G) ⊙ A·B, both packed, the rows multiplied by both at once. */
const gatedPacked = byPacked(({ m, n, k, format, matrix }) => {
  const work = workOf(m, n, k, 2 * packedBytes(format, k, n))
  return {
    work: { ...work, flops: 2 * work.flops + m * n * (operations.silu + 1) },
    inputs: { a: floats(m, k) },
    raw: { g: matrix(k, n), b: matrix(k, n) },
    prepare: ({ g, b }) => ({ gate: quantize(g!, format), up: quantize(b!, format) }),
    run: ({ a }, { gate, up }) => swiglu(matmul(a!, gate!), matmul(a!, up!)),
  }
})

const example = (name: string, m: number, n: number, k: number, quick = false): Example => ({
  name,
  sizes: [m, n, k],
  quick,
})

const prefill = [
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
]
const sixteen = [
  example('GPT-2 attention output, 16 sequences', 16, 768, 768, true),
  example('GPT-2 MLP up, 16 sequences', 16, 3072, 768),
]
const decode = [
  example('GPT-2 MLP up', 1, 3072, 768, true),
  example('GPT-2 logits', 1, 50257, 768),
  example('Llama-1B MLP gate', 1, 8192, 2048),
]
const gradientsOfInputs = [
  example('GPT-2 MLP up, 512 tokens', 512, 768, 3072, true),
  example('GPT-2 MLP down, 512 tokens', 512, 3072, 768),
]
const gradientsOfWeights = [
  example('GPT-2 MLP up, 512 tokens', 768, 3072, 512, true),
  example('GPT-2 MLP down, 512 tokens', 3072, 768, 512),
]
/** What is quick of the plain products is enough to see; of the packed ones it is one for each format. */
const quickly = (examples: readonly Example[], ...names: string[]): Example[] =>
  examples.map((given) => ({ ...given, quick: names.includes(given.name) }))

export const matmulFamilies: readonly Family[] = [
  product('', {}, prefill),
  product('weights (out, in)', { transposed: 'b' }, [
    example('BERT-base MLP up, 128 tokens', 128, 3072, 768),
    example('Llama-1B key, value, prefill of 512', 512, 512, 2048),
  ]),
  product('cold weights', { cold: true }, sixteen),
  product('decode, weights (out, in)', { transposed: 'b', cold: true }, decode),
  product('decode, weights (in, out)', { cold: true }, [
    ...decode.slice(0, 1),
    example('GPT-2 MLP down', 1, 768, 3072),
    example('Llama-1B MLP gate', 1, 8192, 2048),
  ]),
  product('backward dX = dY·Wᵀ', { transposed: 'b' }, gradientsOfInputs),
  product('backward dW = Xᵀ·dY', { transposed: 'a' }, gradientsOfWeights),
  product('training', { precision: 'bf16' }, [
    example('GPT-2 MLP up, 512 tokens', 512, 3072, 768),
    example('GPT-2 MLP down, 512 tokens', 512, 768, 3072),
  ]),
  product('backward dX = dY·Wᵀ', { transposed: 'b', precision: 'bf16' }, quickly(gradientsOfInputs)),
  product('backward dW = Xᵀ·dY', { transposed: 'a', precision: 'bf16' }, quickly(gradientsOfWeights)),
  ...weightFormats.flatMap((format) => [
    packed(format, 'packed', floats, quickly(prefill, 'GPT-2 MLP up, prefill of 512')),
    packed(format, 'packed, cold', cold, quickly(sixteen)),
    packed(format, 'packed, decode', cold, quickly(decode, 'Llama-1B MLP gate')),
  ]),
  ...(['bf16', 'int8', 'q4_0'] as const).flatMap((format) => [
    gatedPacked(format, 'SwiGLU, packed', floats, [example('Llama-1B MLP, prefill of 512', 512, 8192, 2048)]),
    gatedPacked(format, 'SwiGLU, packed, decode', cold, [example('Llama-1B MLP', 1, 8192, 2048)]),
  ]),
]
