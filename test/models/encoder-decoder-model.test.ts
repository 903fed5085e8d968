import { describe, expect, it } from 'vitest'
import { ArgumentError, ShapeError } from '../../lib/errors.ts'
import { EncoderDecoderModel } from '../../lib/models/encoder-decoder-model.ts'
import type { EncoderDecoderConfig } from '../../lib/models/encoder-decoder-config.ts'
import { relativeBucket } from '../../lib/models/relative-positions.ts'
import { packSeq2Seq, shiftRight } from '../../lib/models/seq2seq-inputs.ts'
import { Transformer } from '../../lib/nn/transformer.ts'
import { Random } from '../../lib/tensor/random.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { deviation } from '../reference/deviation.ts'

const small: EncoderDecoderConfig = { vocabSize: 11, hiddenSize: 8, numLayers: 2, numHeads: 2, intermediateSize: 12 }

const ids = (...values: number[]): Tensor => fromData(Int32Array.from(values))

describe('the original Transformer', () => {
  /** nn.Transformer, which is compared with torch.nn.Transformer, calls the same parts by other names. */
  const names = new Map([
    ['selfAttention', 'attention'],
    ['feedForward', 'mlp'],
    ['norm1', 'attentionNorm'],
  ])
  const nameInModel = (name: string): string => {
    const isDecoder = name.startsWith('decoder')
    return name
      .split('.')
      .map((part) =>
        part === 'norm2'
          ? isDecoder
            ? 'crossAttentionNorm'
            : 'mlpNorm'
          : part === 'norm3'
            ? 'mlpNorm'
            : (names.get(part) ?? part),
      )
      .join('.')
  }

  it.each(['post', 'pre'] as const)('is a configuration: norms %s', (normPlacement) => {
    const random = new Random(1)
    using model = new EncoderDecoderModel(
      {
        ...small,
        normPlacement,
        finalNorm: true,
        positions: 'sinusoidal',
        scaleEmbedding: true,
        activation: 'relu',
        joined: true,
      },
      { random },
    )
    using original = new Transformer({
      dim: 8,
      heads: 2,
      ffn: 12,
      encoderLayers: 2,
      decoderLayers: 2,
      normFirst: normPlacement === 'pre',
      random,
    })
    const parameters = model.parameters()
    for (const [name, parameter] of original.parameters()) parameter.copyFrom(parameters.get(nameInModel(name))!)

    const [source, target] = [
      [3, 1, 4, 1, 5],
      [9, 2, 6],
    ]
    const embedded = (tokens: number[]): Tensor => {
      const table = model.tokenEmbedding.weight.data() as Float32Array
      const rows = tokens.flatMap((token, p) =>
        Array.from({ length: 8 }, (_, j) => {
          const angle = p / 10_000 ** ((2 * (j % 4)) / 8)
          return table[8 * token + j]! * Math.sqrt(8) + (j < 4 ? Math.sin(angle) : Math.cos(angle))
        }),
      )
      return fromData(Float32Array.from(rows), { shape: [1, tokens.length, 8] })
    }
    const packed = (tokens: number[]) => ({
      tokens: ids(...tokens),
      positions: ids(...tokens.keys()),
      offsets: ids(0, tokens.length),
    })
    const memory = model.encode(packed(source)).at(-1)!
    const output = model.decode(packed(target), { memory, memoryOffsets: ids(0, source.length) }).at(-1)!
    const expected = original.forward(embedded(source), embedded(target))
    expect(deviation(output.data(), expected.data())).toBeLessThan(5e-6)
  })
})

describe('relative positions', () => {
  it('have buckets of one distance, then of distances that grow', () => {
    const options = { buckets: 32, distance: 128, bothWays: true }
    const bucket = (offset: number): number => relativeBucket(offset, options)
    expect([0, -1, -7, 1, 7].map(bucket)).toEqual([0, 1, 7, 17, 23])
    // Edges of buckets, where torch rounds down or up in float32.
    expect([-8, -11, -12, -15, -16, -31, -32, -90, -91, -127, -128, -1000].map(bucket)).toEqual([
      8, 8, 9, 9, 10, 11, 12, 14, 15, 15, 15, 15,
    ])
    expect([1, 5].map((offset) => relativeBucket(offset, { ...options, bothWays: false }))).toEqual([0, 0])
  })
})

describe('a target that is moved to the right', () => {
  using model = new EncoderDecoderModel({ ...small, padToken: 1, startToken: 2 }, { random: 'zeros' })
  const { config } = model
  it('begins with the start token, and has padding where nothing is asked for', () => {
    expect(shiftRight('x', [5, 6, -100, -100], config)).toEqual([2, 5, 6, 1])
    expect(shiftRight('x', [], config)).toEqual([])
  })
  it('begins with its own last token where there is no start token', () => {
    expect(shiftRight('x', [5, 6, 9, -100], { ...config, startToken: -1 })).toEqual([9, 5, 6, 9])
  })
  it('needs padding to read where nothing is asked for', () => {
    const unpadded = { ...config, padToken: -1 }
    expect(shiftRight('x', [5, 6, -100], unpadded)).toEqual([2, 5, 6])
    expect(() => shiftRight('x', [5, -100, 6], unpadded)).toThrow('give decoderInputIds')
  })
})

describe('inputs', () => {
  using model = new EncoderDecoderModel({ ...small, positions: 'relative', context: 4 }, { random: 'zeros' })
  const pack = (inputs: object) => packSeq2Seq('run', inputs as never, { ...model.config, startToken: 0 })
  const inputIds = [[3, 4], [5]]
  it('are a source and a target of as many rows', () => {
    expect(() => pack({ inputIds })).toThrow(ArgumentError)
    expect(() => pack({ inputIds, labels: [[1]] })).toThrow(ShapeError)
    expect(() => pack({ inputIds, labels: [[1], [2]], decoderInputIds: [[1, 2], [2]] })).toThrow(ShapeError)
    expect(() => pack({ inputIds, labels: [[1], [2.5]] })).toThrow('whole numbers')
    expect(() => pack({ inputIds, labels: [[1], []] })).toThrow('row 1 has no tokens')
    expect(() => pack({ inputIds, labels: [[1], [2]], label: 1 })).toThrow('did you mean labels?')
  })
  it('are no longer than the model takes', () => {
    expect(() => pack({ inputIds: [[1, 2, 3, 4, 5]], labels: [[1]] })).toThrow('at most 4')
    expect(() => pack({ inputIds: [[1]], labels: [[1, 2, 3, 4, 5]] })).toThrow('at most 4')
  })
  it('leave padding out wherever it stands', () => {
    const labels = [[1]]
    expect(pack({ inputIds: [[1, 2, 3]], attentionMask: [[0, 1, 1]], labels }).source.longest).toBe(2)
    expect([...pack({ inputIds: [[1, 2, 3]], attentionMask: [[1, 0, 1]], labels }).source.columns]).toEqual([0, 2])
  })
})

describe('a configuration', () => {
  it.each([
    [{ normPlacement: 'both' }, 'normPlacement should be one of pre, post'],
    [{ positions: 'rotary' }, 'positions should be one of'],
    [{ relativeBuckets: 5 }, 'relativeBuckets should be even'],
    [{ relativeDistance: 16 }, 'relativeBuckets should be even'],
    [{ numDecoderHeads: 3 }, 'headDim'],
    [{ decoderVocabSize: 12 }, 'where embeddings are shared'],
    [{ startToken: 11 }, 'startToken'],
    [{ numDecoderLayers: 0 }, 'numDecoderLayers'],
    [{ bufer: 1 }, 'bufer'],
  ])('of %j is refused', (wrong, message) => {
    expect(() => new EncoderDecoderModel({ ...small, ...wrong } as never, { random: 'zeros' })).toThrow(message)
  })
})
