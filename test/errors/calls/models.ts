import {
  tensorOf,
  but,
  integer,
  number,
  boolean,
  oneOf,
  signal,
  path,
  fn,
  tokens,
  instance,
  options,
} from '../kinds.ts'
import { on, any, folder, activation, seed, random, dropProbability, gpt, dropping, make, type Call } from './call.ts'

const tokenIds = tensorOf([1, 3], { dtype: 'i32', wrongShapes: [[1, 5]] })
const places = { positions: tensorOf([3], { dtype: 'i32', wrongShapes: [[2]] }) }
const decoderInputs = options({ tokens: tokenIds }, places)
const hiddenStates = tensorOf([3, 4], { wrongShapes: [[], [4], [3, 5]] })

const sampling = { temperature: number(0, 1e6), topK: integer(1, any), topP: number(0, 1), minP: number(0, 1), seed }

/** Opens a model. */
const loading = {
  args: [
    path(folder),
    options(
      {},
      {
        dtype: oneOf('f32', 'bf16', 'int8', 'int4', 'auto'),
        revision: path(() => 'main'),
        signal,
        onProgress: fn(() => () => {}),
        cache: path(folder),
      },
    ),
  ],
  named: /^(AutoModel\w*\.fromPretrained|loadDecoder|resolveModel)/,
  fails: /expected model\.safetensors/,
}

export const models: Readonly<Record<string, Call>> = {
  readEmbeddingRecipe: { args: [path(folder)] },
  readRankingFunction: { args: [path(folder)] },
  DecoderModel: {
    args: [
      options(
        {
          vocabSize: integer(1, any, 5),
          hiddenSize: integer(1, any, 4),
          numLayers: integer(1, 10_000, 1),
          numHeads: integer(1, any, 2),
          context: integer(1, any, 4),
        },
        {
          numKeyValueHeads: integer(1, 2),
          headDim: integer(1, 256),
          intermediateSize: integer(1, any),
          norm: oneOf('layer', 'rms'),
          normEpsilon: number(0),
          activation,
          gated: boolean,
          positions: oneOf('learned', 'rotary'),
          ropeTheta: number(1),
          ropeDim: integer(1, 2, 2),
          ropeScaling: instance(() => ({ type: 'none' })),
          localRopeTheta: but(number(1), '0'),
          window: integer(0, 2 ** 31 - 1),
          windowLayers: instance(() => [false]),
          normPlacement: oneOf('pre', 'output', 'both'),
          normOffset: number(0, 0),
          parallel: boolean,
          queryKeyNorm: oneOf('none', 'heads', 'all'),
          qkvBias: boolean,
          outputBias: boolean,
          mlpBias: boolean,
          qkvByHead: boolean,
          scoreDim: number(0, undefined, 1),
          scoreSoftcap: number(0),
          logitSoftcap: number(0),
          scaleEmbedding: boolean,
          expertsPerToken: integer(1, any, 2),
          expertSize: integer(1, any),
          normalizeExperts: boolean,
          sharedExpertSize: integer(0, any),
          expertLayers: instance(() => [false]),
          bias: boolean,
          tieEmbeddings: boolean,
          dropout: dropProbability,
        },
      ),
      options({}, { random, head: boolean }),
    ],
    named: /^(DecoderModel|DecoderConfig|Parameter)/,
  },
  'DecoderModel#initializeAsGpt2': { args: [options({}, { random })], ...on(make.gpt) },
  'DecoderModel#dispose': { args: [], ...on(make.gpt) },
  'DecoderModel#hidden': { args: [decoderInputs, dropping], ...on(make.gpt), named: /^(DecoderModel|embedding|add)/ },
  'DecoderModel#hiddenStates': {
    args: [decoderInputs, dropping],
    ...on(make.gpt),
    named: /^(DecoderModel|embedding|add)/,
  },
  'DecoderModel#lossOfHidden': {
    args: [
      tensorOf([3, 4], { wrongShapes: [[], [4], [3, 5]] }),
      tensorOf([3], { dtype: 'i32', wrongShapes: [[2], []] }),
    ],
    ...on(make.gpt),
    named: /^linearCrossEntropy/,
  },
  'DecoderModel#rotaryFrequencies': { args: [integer(0, 4)], ...on(make.gpt), named: /^DecoderModel/ },
  'DecoderModel#outgrows': { args: [integer(0, any), integer(0, any)], ...on(make.gpt), named: /^DecoderModel/ },
  'DecoderModel#logits': { args: [hiddenStates], ...on(make.gpt), named: /^matmul/ },
  'DecoderModel#forward': { args: [decoderInputs, dropping], ...on(make.gpt), named: /^(DecoderModel|embedding|add)/ },
  'DecoderModel#loss': {
    args: [
      options({ tokens: tokenIds, targets: tensorOf([1, 3], { dtype: 'i32', wrongShapes: [[1, 2], []] }) }, places),
      dropping,
    ],
    ...on(make.gpt),
    named: /^(DecoderModel|embedding|add|linearCrossEntropy)/,
  },
  'DecoderModel#logitsOfRows': {
    args: [hiddenStates, tensorOf([1], { dtype: 'i32' })],
    ...on(make.gpt),
    named: /^(embedding|matmul)/,
  },
  GPT: {
    args: [
      options(
        {
          vocabSize: integer(1, any, 5),
          layers: integer(1, 10_000, 1),
          heads: integer(1, any, 2),
          hiddenSize: integer(1, any, 4),
          context: integer(1, any, 4),
        },
        { bias: boolean, dropout: dropProbability, tieEmbeddings: boolean, seed },
      ),
    ],
    named: /^(GPT|DecoderConfig|DecoderModel|Parameter)/,
  },
  ...Object.fromEntries(
    [
      '',
      'ForCausalLM',
      'ForMaskedLM',
      'ForPreTraining',
      'ForQuestionAnswering',
      'ForSeq2SeqLM',
      'ForSequenceClassification',
      'ForTextEncoding',
      'ForTokenClassification',
    ].map((task) => [`AutoModel${task}.fromPretrained`, loading]),
  ),
  'AutoConfig.fromPretrained': { ...loading, named: /^(AutoConfig|resolveModel)/, fails: /no such file/ },
  loadDecoder: loading,
  pipeline: {
    ...loading,
    args: [oneOf('text-classification', 'text-generation'), ...loading.args],
    named: /^(pipeline|resolveModel)/,
    fails: /has no tokenizer/,
  },
  quantizeModel: {
    args: [
      path(folder),
      path(folder),
      options(
        { dtype: oneOf('bf16', 'int8', 'int4') },
        {
          revision: path(() => 'main'),
          signal,
          onProgress: fn(() => () => {}),
          cache: path(folder),
        },
      ),
    ],
    named: /^(quantizeModel|resolveModel)/,
    fails: /expected model\.safetensors/,
  },
  saveDecoder: {
    args: [
      gpt,
      path(folder),
      options(
        {},
        {
          config: but(
            instance(() => ({})),
            'object',
            'unknownOption',
            'tensor',
          ),
          signal,
        },
      ),
    ],
  },
  generate: {
    args: [
      gpt,
      tokens(() => Int32Array.of(1), 0),
      options(
        {},
        {
          ...sampling,
          cacheDtype: oneOf('f32', 'bf16', 'int8'),
          maxNewTokens: but(integer(0, any), 'huge'),
          stopTokens: but(
            instance(() => [1]),
            'array',
          ),
          signal,
        },
      ),
    ],
    named: /^(generate|sampler)/,
  },
}
