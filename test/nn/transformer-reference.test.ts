import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import * as nn from '../../lib/nn/index.ts'
import { multiply, sum } from '../../lib/ops/index.ts'
import { valueAndGrad } from '../../lib/ops/gradients.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'
import { expectSummary, type Summary } from '../reference/summary.ts'
import { namedNumbers } from '../reference/weight-values.ts'

/** What make-transformer.py writes. */
interface Case {
  module: string
  options: object
  causal: boolean
  lengths: number[] | null
  targetLengths?: number[] | null
  inputs: Record<string, number[]>
  output: { shape: number[]; data: number[] }
  gradients: Record<string, Summary>
}
const { dims, cases } = JSON.parse(readFileSync(new URL('../reference/transformer.json', import.meta.url), 'utf8')) as {
  dims: { dim: number; heads: number; ffn: number }
  cases: Case[]
}

/** f32 against f64, through up to 4 layers and back. */
const tolerance = 5e-6

/** The numbers that make-transformer.py makes of a name. */
const numbers = (name: string, size: number): number[] => [...namedNumbers(name, [size])]

/** Where the values of PyTorch's parameter `name` stand among tensors by field path: one after the other. */
function locate(name: string, tensors: ReadonlyMap<string, Tensor>): Float32Array[] {
  const path = name
    .replace('self_attn.', 'selfAttention.')
    .replace('multihead_attn.', 'crossAttention.')
    .replace('out_proj.', 'output.')
    .replace('linear1.', 'feedForward.up.')
    .replace('linear2.', 'feedForward.down.')
  const data = (of: string): Float32Array => tensors.get(of)!.data() as Float32Array
  const [, prefix, projection, kind] = /^(.*?)(in|q|k|v)_proj_(weight|bias)$/.exec(path) ?? []
  if (projection === undefined) return [data(path)]
  if (projection === 'q') return [data(`${prefix}query.${kind}`)]
  if (projection === 'in' && tensors.has(`${prefix}qkv.${kind}`)) return [data(`${prefix}qkv.${kind}`)]
  const keyValue = data(`${prefix}keyValue.${kind}`)
  if (projection === 'in') return [data(`${prefix}query.${kind}`), keyValue]
  const half = keyValue.length / 2
  return [projection === 'k' ? keyValue.subarray(0, half) : keyValue.subarray(half)]
}

function fill(name: string, tensors: ReadonlyMap<string, Tensor>): void {
  const parts = locate(name, tensors)
  const values = numbers(
    name,
    parts.reduce((size, part) => size + part.length, 0),
  )
  const shift = name.includes('norm') && name.includes('weight') ? 1 : 0
  let at = 0
  for (const part of parts) for (let i = 0; i < part.length; i++) part[i] = values[at++]! + shift
}

type Inputs = Record<string, Tensor>
const lengthsOf = (lengths: number[] | null | undefined): Tensor | undefined =>
  lengths ? tensor(Int32Array.from(lengths)) : undefined

interface Built {
  module: nn.Module
  forward(inputs: Inputs): Tensor
}
type Settings = Pick<Case, 'options' | 'causal'> & {
  keyLengths?: Tensor | undefined
  targetLengths?: Tensor | undefined
}

const encoder =
  (Class: typeof nn.TransformerEncoder | typeof nn.TransformerEncoderLayer) =>
  ({ options, causal, keyLengths }: Settings): Built => {
    const module = new Class({ ...dims, ...options } as never)
    return { module, forward: ({ source }) => module.forward(source!, { causal, keyLengths }) }
  }
const decoder =
  (Class: typeof nn.TransformerDecoder | typeof nn.TransformerDecoderLayer) =>
  ({ options, causal, keyLengths: memoryKeyLengths, targetLengths: keyLengths }: Settings): Built => {
    const module = new Class({ ...dims, ...options } as never)
    return {
      module,
      forward: ({ target, memory }) => module.forward(target!, memory!, { causal, keyLengths, memoryKeyLengths }),
    }
  }

/** The modules by PyTorch's names, and how they are called. */
const builders: Record<string, (settings: Settings) => Built> = {
  Transformer: ({ options, causal, keyLengths: sourceLengths, targetLengths }) => {
    const module = new nn.Transformer({ ...dims, ...options, encoderLayers: 2, decoderLayers: 2 })
    return {
      module,
      forward: ({ source, target }) => module.forward(source!, target!, { causal, sourceLengths, targetLengths }),
    }
  },
  TransformerEncoder: encoder(nn.TransformerEncoder),
  TransformerEncoderLayer: encoder(nn.TransformerEncoderLayer),
  TransformerDecoder: decoder(nn.TransformerDecoder),
  TransformerDecoderLayer: decoder(nn.TransformerDecoderLayer),
  MultiheadAttention: ({ options, causal, keyLengths }) => {
    const module = new nn.MultiHeadAttention({ dim: dims.dim, heads: dims.heads, ...options })
    return { module, forward: ({ source, ...memory }) => module.forward(source!, { ...memory, causal, keyLengths }) }
  },
}

const described = ({ module, options, causal, lengths }: Case): string =>
  `${module} ${JSON.stringify(options)}${causal ? ', causal' : ''}${lengths ? ', padded' : ''}`

it.each(cases.map((reference) => [described(reference), reference] as const))('%s', (_, reference) => {
  const { module, forward } = builders[reference.module]!({
    ...reference,
    keyLengths: lengthsOf(reference.lengths),
    targetLengths: lengthsOf(reference.targetLengths),
  })
  const parameters = module.parameters()
  const inputs = Object.fromEntries(
    Object.entries(reference.inputs).map(([name, shape]) => {
      const values = numbers(
        name,
        shape.reduce((a, b) => a * b),
      ).map((value) => 4 * value)
      return [name, tensor(Float32Array.from(values), { shape })]
    }),
  )
  for (const name of Object.keys(reference.gradients)) if (!(name in inputs)) fill(name, parameters)

  const { shape, data } = reference.output
  const gradOutput = tensor(Float32Array.from(numbers('gradOutput', data.length)), { shape })
  const wrt = new Map<string, Tensor>([...parameters, ...Object.entries(inputs)])
  const output = forward(inputs)
  expect(output.shape).toEqual(shape)
  expect(deviation(output.data(), data)).toBeLessThan(tolerance)

  const { grads } = valueAndGrad(() => sum(multiply(forward(inputs), gradOutput)), wrt)({})
  const found = new Set<Float32Array>()
  for (const [name, summary] of Object.entries(reference.gradients)) {
    const parts = locate(name, grads)
    expectSummary(
      parts.flatMap((part) => [...part]),
      summary,
      tolerance,
      name,
    )
    parts.forEach((part) => found.add(part))
  }
  const compared = [...found].reduce((size, part) => size + part.length, 0)
  expect(compared).toBe([...grads.values()].reduce((size, gradient) => size + gradient.size, 0))
})
