import { crossEntropy } from '../../ops/cross-entropy.ts'
import { linearCrossEntropy } from '../../ops/linear-cross-entropy.ts'
import { add, multiply } from '../../ops/elementwise.ts'
import { grad } from '../../ops/gradients.ts'
import { layerNorm, rmsNorm } from '../../ops/norm.ts'
import { max, mean, min, sum } from '../../ops/reduce.ts'
import { logSoftmax, softmax } from '../../ops/softmax.ts'
import { slice } from '../../ops/view.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { bytesOf, floats, indices, type Example, type Family, type Input, type Tensors } from '../case.ts'
import { operations } from './operations.ts'

const dimensions = ['rows', 'columns']

const example = (name: string, rows: number, columns: number, quick = false): Example => ({
  name,
  sizes: [rows, columns],
  quick,
})

interface RowWork {
  /** Operations for each element. */
  readonly flops: number
  /** Most of them are one of this function for each element. */
  readonly of?: string
  /** Matrices read and written. */
  readonly read: number
  readonly written: number
}

/** Something that is done to each row of a matrix. */
const rowwise = (
  op: string,
  variant: string | undefined,
  instruction: string,
  { flops, of, read, written }: RowWork,
  inputs: (rows: number, columns: number) => Readonly<Record<string, Input>>,
  run: (inputs: Tensors) => Tensor,
  examples: readonly Example[],
): Family => ({
  op,
  ...(variant && { variant }),
  instruction,
  dimensions,
  examples,
  subject: (rows, columns) => {
    const matrix = bytesOf(rows!, columns!)
    return {
      work: { flops: flops * rows! * columns!, read: read * matrix, written: written * matrix },
      ...(of !== undefined && { function: { name: of, elements: rows! * columns! } }),
      inputs: inputs(rows!, columns!),
      run,
    }
  },
})

/** The gradient for x, and with it those of the parameters, which are read back in its place where there are any. */
const gradientOf =
  (f: (inputs: Tensors) => Tensor) =>
  (inputs: Tensors): Tensor =>
    grad(() => sum(multiply(f(inputs), inputs['gradient']!)), inputs['x']!)({})

const matrix = (rows: number, columns: number): Record<string, Input> => ({ x: floats(rows, columns) })
const withGradient = (rows: number, columns: number): Record<string, Input> => ({
  x: floats(rows, columns),
  gradient: floats(rows, columns),
})

const softmaxExamples = [example('BERT-base scores, 128 tokens', 1536, 128, true), example('GPT-2 logits', 32, 50257)]
const { exp } = operations
const softmaxFamilies: readonly Family[] = [
  rowwise(
    'softmax',
    undefined,
    'softmax',
    { of: 'exp', flops: exp + 4, read: 1, written: 1 },
    matrix,
    ({ x }) => softmax(x!),
    softmaxExamples,
  ),
  rowwise(
    'logSoftmax',
    undefined,
    'softmax',
    { of: 'exp', flops: exp + 4, read: 1, written: 1 },
    matrix,
    ({ x }) => logSoftmax(x!),
    softmaxExamples.slice(1),
  ),
  rowwise(
    'softmax',
    'backward',
    'softmaxGradient',
    { flops: 4, read: 2, written: 1 },
    withGradient,
    gradientOf(({ x }) => softmax(x!)),
    softmaxExamples.slice(0, 1),
  ),
  rowwise(
    'logSoftmax',
    'backward',
    'softmaxGradient',
    { of: 'exp', flops: exp + 3, read: 2, written: 1 },
    withGradient,
    gradientOf(({ x }) => logSoftmax(x!)),
    softmaxExamples.slice(0, 1),
  ),
]

const normInputs =
  (...parameters: string[]) =>
  (rows: number, columns: number): Record<string, Input> => ({
    ...withGradient(rows, columns),
    ...Object.fromEntries(parameters.map((name) => [name, floats(columns)])),
  })
const layer = ({ x, weight, bias }: Tensors): Tensor => layerNorm(x!, weight!, bias!)
const rms = ({ x, weight }: Tensors): Tensor => rmsNorm(x!, weight!)
const layerExamples = [
  example('GPT-2, 128 tokens', 128, 768, true),
  example('GPT-2, 512 tokens', 512, 768),
  example('MiniLM, 128 tokens', 128, 384),
]
const rmsExamples = [example('Llama-1B, 128 tokens', 128, 2048, true), example('Llama-1B, 512 tokens', 512, 2048)]
const normFamilies: readonly Family[] = [
  rowwise(
    'layerNorm',
    undefined,
    'norm',
    { flops: 8, read: 1, written: 1 },
    normInputs('weight', 'bias'),
    layer,
    layerExamples,
  ),
  rowwise(
    'layerNorm',
    'backward',
    'normGradient',
    { flops: 11, read: 2, written: 1 },
    normInputs('weight', 'bias'),
    gradientOf(layer),
    layerExamples.slice(0, 2),
  ),
  rowwise(
    'layerNorm',
    'with the residual sum before it',
    'norm',
    { flops: 9, read: 2, written: 2 },
    (rows, columns) => ({ ...normInputs('weight', 'bias')(rows, columns), residual: floats(rows, columns) }),
    ({ x, residual, weight, bias }) => {
      const added = add(x!, residual!)
      // A row of both results: neither is left out.
      return add(slice(layerNorm(added, weight!, bias!), 0, 0, 1), slice(added, 0, 0, 1))
    },
    layerExamples.slice(0, 2),
  ),
  rowwise('rmsNorm', undefined, 'norm', { flops: 4, read: 1, written: 1 }, normInputs('weight'), rms, rmsExamples),
  rowwise(
    'rmsNorm',
    'backward',
    'normGradient',
    { flops: 8, read: 2, written: 1 },
    normInputs('weight'),
    gradientOf(rms),
    rmsExamples.slice(0, 1),
  ),
]

const lossInputs = (rows: number, columns: number): Record<string, Input> => ({
  x: floats(rows, columns),
  targets: indices(columns, rows),
})
const loss = ({ x, targets }: Tensors): Tensor => crossEntropy(x!, targets!)
const lossExamples = [example('GPT-2, 512 tokens', 512, 50257, true), example('Llama-1B, 128 tokens', 128, 128256)]
const lossFamilies: readonly Family[] = [
  rowwise(
    'crossEntropy',
    undefined,
    'crossEntropy',
    { of: 'exp', flops: exp + 3, read: 1, written: 0 },
    lossInputs,
    loss,
    lossExamples,
  ),
  rowwise(
    'crossEntropy',
    'backward',
    'crossEntropyGradient',
    { of: 'exp', flops: exp + 2, read: 1, written: 1 },
    lossInputs,
    (inputs) => grad(() => loss(inputs), inputs['x']!)({}),
    lossExamples.slice(0, 1),
  ),
]

/** The last product of a model with its loss, and the gradients of both. */
const linearLoss: Family = {
  op: 'linearCrossEntropy',
  variant: 'forward and backward',
  instruction: 'linearCrossEntropy',
  dimensions: ['rows', 'columns', 'classes'],
  examples: [{ name: 'GPT-2, 512 tokens', sizes: [512, 768, 50257] }],
  subject: (rows, columns, classes) => ({
    work: {
      flops: 6 * rows! * columns! * classes!,
      read: bytesOf(classes!, columns!) + bytesOf(rows!, columns!) + bytesOf(rows!),
      written: bytesOf(classes!, columns!) + bytesOf(rows!, columns!),
    },
    inputs: {
      hidden: floats(rows!, columns!),
      weight: floats(classes!, columns!),
      targets: indices(classes!, rows!),
    },
    run: ({ hidden, weight, targets }) => {
      const gradients = grad(() => linearCrossEntropy(hidden!, weight!, targets!), { hidden: hidden!, weight: weight! })
      const made = gradients({})
      return sum(multiply(made.hidden, sum(made.weight)))
    },
  }),
}

const reduceExamples = [example('GPT-2 MLP, 128 tokens', 128, 3072, true)]
const reductions = { sum, mean, max, min }
const reduceFamilies: readonly Family[] = [
  ...Object.entries(reductions).map(([op, reduce]) =>
    rowwise(
      op,
      'rows',
      'reduce',
      { flops: 1, read: 1, written: 0 },
      matrix,
      ({ x }) => reduce(x!, { axis: 1 }),
      reduceExamples.map((given) => ({ ...given, quick: op === 'sum' })),
    ),
  ),
  rowwise(
    'sum',
    'columns: the gradient of a bias',
    'reduce',
    { flops: 1, read: 1, written: 0 },
    matrix,
    ({ x }) => sum(x!, { axis: 0 }),
    [example('GPT-2 MLP, 512 tokens', 512, 3072)],
  ),
]

export const rowFamilies: readonly Family[] = [
  ...softmaxFamilies,
  ...normFamilies,
  ...lossFamilies,
  linearLoss,
  ...reduceFamilies,
]
