import { dropout } from '../../ops/dropout.ts'
import { add, exp, gelu, geluTanh, multiply, relu, sigmoid, silu, tanh } from '../../ops/elementwise.ts'
import { geglu, swiglu } from '../../ops/gated.ts'
import { grad } from '../../ops/gradients.ts'
import { sum } from '../../ops/reduce.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { bytesOf, floats, integer, type Example, type Family, type Tensors } from '../case.ts'
import { operations } from './operations.ts'

const example = (name: string, rows: number, columns: number, quick = false): Example => ({
  name,
  sizes: [rows, columns],
  quick,
})
const mlp = example('GPT-2 MLP, 128 tokens', 128, 3072)
const quickMlp = { ...mlp, quick: true }
const residual = example('GPT-2 residual, 512 tokens', 512, 768, true)
const llama = example('Llama-1B MLP, 128 tokens', 128, 8192, true)

/** Matrices of one shape in, one out; `flops` for each element, most of them those of a `function` of it. */
const elementwise = (
  op: string,
  variant: string | undefined,
  instruction: string,
  flops: number,
  matrices: readonly string[],
  run: (inputs: Tensors) => Tensor,
  examples: readonly Example[],
  { written = 1, of }: { written?: number; of?: string } = {},
): Family => ({
  op,
  ...(variant && { variant }),
  instruction,
  dimensions: ['rows', 'columns'],
  examples,
  subject: (rows, columns) => ({
    work: {
      flops: flops * rows! * columns!,
      read: matrices.length * bytesOf(rows!, columns!),
      written: written * bytesOf(rows!, columns!),
    },
    ...(of !== undefined && { function: { name: of, elements: rows! * columns! } }),
    inputs: Object.fromEntries(matrices.map((name) => [name, floats(rows!, columns!)])),
    run,
  }),
})

const functions = { exp, gelu, geluTanh, relu, sigmoid, silu, tanh }
const quick = new Set(['exp', 'gelu', 'silu', 'tanh'])

const gradientOf =
  (f: (inputs: Tensors) => Tensor, wrt: string) =>
  (inputs: Tensors): Tensor =>
    grad(() => sum(multiply(f(inputs), inputs['gradient']!)), inputs[wrt]!)({})

const gates = { swiglu, geglu }
const gateFunctions = { swiglu: 'silu', geglu: 'gelu' }
const gateFlops = { swiglu: operations.silu + 1, geglu: operations.gelu + 1 }

const dropoutFamily: Family = {
  op: 'dropout',
  instruction: 'dropout',
  dimensions: ['rows', 'columns'],
  examples: [{ ...residual, quick: false }],
  subject: (rows, columns) => ({
    work: { flops: 0, read: bytesOf(rows!, columns!), written: bytesOf(rows!, columns!) },
    inputs: { x: floats(rows!, columns!), seed: integer(1) },
    run: ({ x, seed }) => dropout(x!, { probability: 0.1, seed: seed! }),
  }),
}

export const elementwiseFamilies: readonly Family[] = [
  ...Object.entries(functions).map(([op, f]) =>
    elementwise(
      op,
      undefined,
      'unary',
      operations[op as keyof typeof functions],
      ['x'],
      ({ x }) => f(x!),
      [quick.has(op) ? quickMlp : mlp],
      { of: op },
    ),
  ),
  ...(['gelu', 'silu'] as const).map((op) =>
    elementwise(
      op,
      'backward',
      'unaryGradient',
      operations[op] + 4,
      ['x', 'gradient'],
      gradientOf(({ x }) => functions[op](x!), 'x'),
      [mlp],
      { of: `${op} gradient` },
    ),
  ),
  ...Object.entries(gates).flatMap(([op, gate]) => {
    const flops = gateFlops[op as keyof typeof gates]
    const run = ({ gate: g, up }: Tensors): Tensor => gate(g!, up!)
    return [
      elementwise(op, undefined, 'gated', flops, ['gate', 'up'], run, [op === 'swiglu' ? llama : mlp], {
        of: gateFunctions[op as keyof typeof gates],
      }),
      elementwise(
        op,
        'backward',
        'gatedGradient',
        2 * flops,
        ['gate', 'up', 'gradient'],
        gradientOf(run, 'gate'),
        [mlp],
        { written: 2, of: `${gateFunctions[op as keyof typeof gates]} gradient` },
      ),
    ]
  }),
  elementwise('add', undefined, 'binary', 1, ['x', 'y'], ({ x, y }) => add(x!, y!), [residual]),
  elementwise('multiply', undefined, 'binary', 1, ['x', 'y'], ({ x, y }) => multiply(x!, y!), [
    { ...residual, quick: false },
  ]),
  dropoutFamily,
]
