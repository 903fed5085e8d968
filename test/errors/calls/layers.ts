import { nn, tensor } from '../../../lib/index.ts'
import { tensorOf, but, integer, number, boolean, instance, oneOf, options, type Kind } from '../kinds.ts'
import {
  on,
  any,
  activation,
  random,
  dropProbability,
  dropoutSource,
  oneTensor,
  anyTensor,
  keyLengths,
  dim,
  dropping,
  width,
  make,
  type Call,
} from './call.ts'

const rowsOfDim = tensorOf([1, 3, dim], { wrongShapes: [[], [3], [1, 3, 5]] })
const sequence = tensorOf([1, 3, dim], { wrongShapes: [[], [dim], [1, 3, 5], [1, 1, 3, dim]] })
const layer: Readonly<Record<string, Kind>> = {
  ffn: integer(1, any),
  kvHeads: integer(1, 2),
  rope: options({}, { theta: number(0), dim: integer(2, 2), interleaved: boolean, scale: number() }),
  window: integer(1, 2 ** 31 - 1),
  softcap: number(0, Infinity, 1),
  alibi: boolean,
  activation,
  normFirst: boolean,
  bias: boolean,
  dropout: dropProbability,
  epsilon: number(0),
  random,
}
const stack = { ...layer, finalNorm: boolean }
const attend: Readonly<Record<string, Kind>> = {
  causal: boolean,
  keyLengths,
  bias: tensorOf([3, 3], { wrongShapes: [[], [3], [3, 2], [3, 3, 3]] }),
  dropout: dropoutSource,
}
const swiglu = {
  hidden: integer(1, any),
  bias: boolean,
  inputsFirst: boolean,
  separate: boolean,
  dropout: dropProbability,
  random,
}
const { separate: _, ...plain } = swiglu
const feedForward = options({ dim: width.dim }, { ...plain, activation })
const gatedFeedForward = options({ dim: width.dim }, { ...swiglu, activation })
const gatedBySomething = options({ dim: width.dim }, swiglu)
const decoderOptions = options({}, { ...attend, memoryKeyLengths: keyLengths })

export const layers: Readonly<Record<string, Call>> = {
  'nn.DropoutSource': { args: [anyTensor] },
  'nn.DropoutSource#drop': {
    args: [but(oneTensor, 'i32'), dropProbability],
    ...on(() => new nn.DropoutSource(tensor.zeros([], { dtype: 'i32' }))),
    named: /^dropout/,
  },
  'nn.Embedding': { args: [integer(1, any), integer(1, any), options({}, { paddingIndex: integer(0, 0), random })] },
  'nn.Embedding#forward': {
    args: [tensorOf([2], { dtype: 'i32' })],
    ...on(() => new nn.Embedding(3, 2)),
    named: /^embedding/,
  },
  'nn.Linear': {
    args: [integer(1, any), integer(1, any), options({}, { bias: boolean, inputsFirst: boolean, random })],
  },
  'nn.Linear#forward': {
    args: [rowsOfDim, options({}, { activation })],
    ...on(make.linear),
    named: /^(Linear|matmul)/,
  },
  'nn.LayerNorm': { args: [integer(1, any), options({}, { epsilon: number(0), bias: boolean })] },
  'nn.LayerNorm#forward': { args: [rowsOfDim], ...on(() => new nn.LayerNorm(dim)), named: /^(layerNorm|norm):/ },
  'nn.RMSNorm': { args: [integer(1, any), options({}, { epsilon: number(0), offset: number() })] },
  'nn.RMSNorm#forward': { args: [rowsOfDim], ...on(() => new nn.RMSNorm(dim)), named: /^(rmsNorm|norm):/ },
  'nn.FeedForward': { args: [feedForward] },
  'nn.FeedForward#forward': {
    args: [rowsOfDim, dropping],
    ...on(() => new nn.FeedForward({ dim, dropout: 0.5 })),
    named: /^(FeedForward|matmul)/,
  },
  'nn.GatedFeedForward': { args: [gatedFeedForward] },
  'nn.GatedFeedForward#forward': {
    args: [rowsOfDim, dropping],
    ...on(() => new nn.GatedFeedForward({ dim, dropout: 0.5 })),
    named: /^(GatedFeedForward|matmul)/,
  },
  'nn.SwiGLU': { args: [gatedBySomething], named: /^(SwiGLU|GatedFeedForward)/ },
  'nn.GeGLU': { args: [gatedBySomething], named: /^(GeGLU|GatedFeedForward)/ },
  'nn.MixtureOfExperts': {
    args: [
      options(
        { dim: width.dim, hidden: integer(1, any, 3), experts: integer(1, any, 2), topK: integer(1, 2) },
        { normalize: boolean, activation, sharedHidden: integer(1, any, 3), dropout: dropProbability, random },
      ),
    ],
    named: /^(MixtureOfExperts|Parameter)/,
  },
  'nn.MixtureOfExperts#forward': {
    args: [rowsOfDim, dropping],
    ...on(() => new nn.MixtureOfExperts({ dim, hidden: 3, experts: 2, topK: 1 })),
    named: /^(MixtureOfExperts|matmul)/,
  },
  'nn.KeyValueCache': {
    args: [
      options(
        { layers: integer(1, 10_000), kvHeads: integer(1, any), headDim: integer(1, any), capacity: integer(1, any) },
        { batch: integer(1, any), dtype: oneOf('f32', 'bf16', 'int8') },
      ),
    ],
  },
  'nn.KeyValueCache#layer': { args: [integer(0, 0), anyTensor], ...on(make.cache), named: /^KeyValueCache/ },
  'nn.KeyValueCache#dispose': { args: [], ...on(make.cache) },
  'nn.Module': { args: [] },
  'nn.Module#parameters': { args: [], ...on(make.linear) },
  'nn.Module#stateDict': { args: [], ...on(make.linear) },
  'nn.Module#dispose': { args: [], ...on(make.linear) },
  'nn.Module#loadStateDict': {
    args: [instance(() => make.linear().stateDict()), options({}, { strict: boolean })],
    ...on(make.linear),
  },
  'nn.MultiHeadAttention': {
    args: [
      options(width, {
        kvHeads: integer(1, 2),
        headDim: integer(1, 256),
        memoryDim: integer(1, any),
        cross: boolean,
        separate: boolean,
        bias: boolean,
        outputBias: boolean,
        inputsFirst: boolean,
        rope: layer['rope']!,
        window: layer['window']!,
        softcap: layer['softcap']!,
        scale: number(),
        queryKeyNorm: options({ of: oneOf('heads', 'all') }, { epsilon: number(0), offset: number() }),
        byHead: boolean,
        alibi: boolean,
        dropout: dropProbability,
        random,
      }),
    ],
    named: /^(MultiHeadAttention|RMSNorm):/,
  },
  'nn.MultiHeadAttention#forward': {
    args: [sequence, options({}, { ...attend })],
    ...on(make.attention),
    named: /^(MultiHeadAttention|attention|matmul)/,
  },
  'nn.MultiHeadAttention#remember': {
    args: [sequence],
    ...on(() => new nn.MultiHeadAttention({ dim, heads: 2, cross: true })),
    named: /^(remember|MultiHeadAttention|matmul)/,
  },
  'nn.TransformerEncoderLayer': {
    args: [options(width, layer)],
    named: /^(TransformerEncoderLayer|MultiHeadAttention|FeedForward|LayerNorm)/,
  },
  'nn.TransformerEncoderLayer#forward': {
    args: [sequence, options({}, attend)],
    ...on(() => make.encoder().layers[0]),
    named: /^(TransformerEncoderLayer|MultiHeadAttention|attention|matmul)/,
  },
  'nn.TransformerDecoderLayer': {
    args: [options(width, layer)],
    named: /^(TransformerDecoderLayer|MultiHeadAttention|FeedForward|LayerNorm)/,
  },
  'nn.TransformerDecoderLayer#forward': {
    args: [sequence, sequence, decoderOptions],
    ...on(() => make.decoder().layers[0]),
    named: /^(TransformerDecoderLayer|MultiHeadAttention|attention|matmul)/,
  },
  'nn.TransformerEncoder': {
    args: [options({ ...width, layers: integer(0, 10_000, 1) }, stack)],
    named: /^(TransformerEncoder|MultiHeadAttention|FeedForward|LayerNorm)/,
  },
  'nn.TransformerEncoder#forward': {
    args: [sequence, options({}, attend)],
    ...on(make.encoder),
    named: /^(TransformerEncoder|MultiHeadAttention|attention|matmul)/,
  },
  'nn.TransformerDecoder': {
    args: [options({ ...width, layers: integer(0, 10_000, 1) }, stack)],
    named: /^(TransformerDecoder|MultiHeadAttention|FeedForward|LayerNorm)/,
  },
  'nn.TransformerDecoder#forward': {
    args: [sequence, sequence, decoderOptions],
    ...on(make.decoder),
    named: /^(TransformerDecoder|MultiHeadAttention|attention|matmul)/,
  },
  'nn.Transformer': {
    args: [options(width, { ...layer, encoderLayers: integer(0, 10_000), decoderLayers: integer(0, 10_000) })],
    named: /^(Transformer|MultiHeadAttention|FeedForward|LayerNorm)/,
  },
  'nn.Transformer#forward': {
    args: [sequence, sequence, options({}, { sourceLengths: keyLengths, dropout: dropoutSource })],
    ...on(make.transformer),
    named: /^(Transformer|MultiHeadAttention|attention|matmul)/,
  },
}
