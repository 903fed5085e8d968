import { describe, expect, it } from 'vitest'
import { ArgumentError, ShapeError } from '../../lib/errors.ts'
import {
  KeyValueCache,
  Transformer,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from '../../lib/nn/index.ts'
import { slice } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Random } from '../../lib/tensor/random.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'

const options = { dim: 16, heads: 4, ffn: 24, layers: 3 }
const [batch, length] = [2, 8]
const x = tensor.randn([batch, length, 16], { seed: 1 })
const memory = tensor.randn([batch, 5, 16], { seed: 2 })
const random = (): Random => new Random(3)
const i32 = (...values: number[]): Tensor => tensor(Int32Array.from(values))

describe('a stack with a cache', () => {
  type Forward = (x: Tensor, options: object) => Tensor
  const stacks: [string, (options: object) => Forward][] = [
    [
      'TransformerEncoder',
      (more) => {
        const stack = new TransformerEncoder({ ...options, ...more, random: random() })
        return (x, given) => stack.forward(x, { causal: true, ...given })
      },
    ],
    [
      'TransformerDecoder',
      (more) => {
        const stack = new TransformerDecoder({ ...options, ...more, random: random() })
        return (x, given) => stack.forward(x, memory, given)
      },
    ],
  ]
  it.each(
    stacks.flatMap(([name, make]) =>
      [{}, { normFirst: true, kvHeads: 2 }, { rope: {} }].map((more) => [name, more, make(more)] as const),
    ),
  )('%s %j gives each token what the whole sequence gives it', (_, { kvHeads = 4 }: { kvHeads?: number }, forward) => {
    using cache = new KeyValueCache({ layers: 3, batch, kvHeads, headDim: 4, capacity: length })
    const whole = forward(x, {})
    let before = 0
    for (const tokens of [3, 1, 1, 2, 1]) {
      const end = before + tokens
      const y = forward(slice(x, 1, before, end), {
        cache,
        position: tensor(before, { dtype: 'i32' }),
        keyLengths: i32(end, end),
        positions: i32(...Array.from({ length: tokens }, (_, i) => before + i)),
      })
      expect(deviation(y.data(), slice(whole, 1, before, end).data())).toBeLessThan(3e-6)
      before = end
    }
  })

  it('asks for the position, and for as many layers as it has', () => {
    const stack = new TransformerEncoder(options)
    using cache = new KeyValueCache({ layers: 2, batch, kvHeads: 4, headDim: 4, capacity: length })
    const position = tensor(0, { dtype: 'i32' })
    const keyLengths = i32(length, length)
    expect(() => stack.forward(x, { cache, keyLengths })).toThrow('a cache needs position')
    expect(() => stack.forward(x, { cache, position, keyLengths })).toThrow(
      'layer should be an integer from 0 to 1, got 2',
    )
    using narrow = new KeyValueCache({ layers: 3, batch, kvHeads: 2, headDim: 4, capacity: length })
    expect(() => stack.forward(x, { cache: narrow, position, keyLengths })).toThrow(ShapeError)
  })
})

it('decoders are causal unless said', () => {
  for (const decoder of [
    new TransformerDecoder(options),
    new TransformerDecoderLayer({ dim: 16, heads: 4, ffn: 24 }),
  ]) {
    const y = decoder.forward(x, memory)
    expect(decoder.forward(x, memory, { causal: true }).data()).toEqual(y.data())
    expect(decoder.forward(x, memory, { causal: undefined }).data()).toEqual(y.data())
    expect(decoder.forward(x, memory, { causal: false }).data()).not.toEqual(y.data())
  }
  const seq2seq = new Transformer({ dim: 16, heads: 4, ffn: 24, encoderLayers: 1, decoderLayers: 1 })
  expect(seq2seq.forward(memory, x, { causal: true }).data()).toEqual(seq2seq.forward(memory, x).data())
})

it('a Transformer can be made of stacks that exist', () => {
  const encoder = new TransformerEncoder({ ...options, layers: 1, normFirst: true })
  const decoder = new TransformerDecoder({ ...options, layers: 2, heads: 2 })
  const seq2seq = new Transformer({ encoder, decoder })
  expect(seq2seq.forward(memory, x).data()).toEqual(decoder.forward(x, encoder.forward(memory)).data())
  expect(seq2seq.parameterCount).toBe(encoder.parameterCount + decoder.parameterCount)
  for (const wrong of [{ encoder }, { encoder: decoder, decoder: encoder }, { encoder, decoder, dim: 16 }])
    expect(() => new Transformer(wrong as never)).toThrow(ArgumentError)
})

it('is as deep as torch.nn.Transformer unless said, with the same shapes', () => {
  const { encoder, decoder } = new Transformer({ dim: 8, heads: 2, random: 'zeros' })
  expect([encoder.layers.length, decoder.layers.length]).toEqual([6, 6])
  expect(encoder.layers[0]!.feedForward.up.weight.shape).toEqual([2048, 8])
})

it('refuses options that it does not know or that make no sense', () => {
  for (const Layer of [
    TransformerEncoderLayer,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerDecoder,
    Transformer,
  ])
    for (const wrong of [
      { dim: 10 },
      { heads: 0 },
      { ffn: 0 },
      { kvHeads: 0 },
      { kvHeads: 3 },
      { dropout: 1 },
      { epsilon: -1 },
      { activation: 'swish2' },
      { nhead: 2 },
    ]) {
      const given: object = Layer.name.endsWith('der') ? options : { dim: 16, heads: 4, ffn: 24 }
      expect(() => new Layer({ ...given, ...wrong } as never), `${Layer.name} ${JSON.stringify(wrong)}`).toThrow(
        ArgumentError,
      )
    }
  expect(() => new TransformerEncoder({ ...options, layers: -1 })).toThrow(ArgumentError)
  const encoder = new TransformerEncoder(options)
  expect(() => encoder.forward(x, { casual: true } as never)).toThrow('did you mean causal?')
  expect(() => new Transformer({ dim: 16, heads: 4 }).forward(x, x, { sourceLength: 1 } as never)).toThrow(
    'did you mean sourceLengths?',
  )
})
