import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CharTokenizer, GPT, nn, Random, tensor, type Tensor } from '../../lib/index.ts'
import { adamW, causalLM, constantRate, Trainer } from '../../lib/train/index.ts'
import {
  arrayOf,
  axis,
  boolean,
  but,
  dtype,
  fn,
  instance,
  integer,
  mapOf,
  number,
  oneOf,
  operand,
  optional,
  options,
  path,
  shape,
  signal,
  tensorOf,
  text,
  tokens,
  type Kind,
} from './kinds.ts'

/** How a public function is called, and so how it can be called wrongly. */
export interface Call {
  readonly args: readonly Kind[]
  /** What it is a method of. */
  readonly on?: Kind
  /** What messages begin with, where it is not the name of the function. */
  readonly named?: RegExp
  /** What even right arguments give, as the files or the state are not there. */
  readonly fails?: RegExp
}

const any = Number.MAX_SAFE_INTEGER
const folder = (): string => mkdtempSync(join(tmpdir(), 'heedful-errors-'))
const activation = oneOf('relu', 'gelu', 'geluTanh', 'silu', 'sigmoid', 'tanh')
const seed = integer(0, any)
const scalar = tensorOf([], { wrongShapes: [[1], [2]] })
const intScalar = tensorOf([], { dtype: 'i32', value: 1, wrongShapes: [[2], [1, 1]] })
const matrix = tensorOf([2, 3], { wrongShapes: [[], [3]] })
const unary: Call = { args: [tensorOf([2, 3])] }
const binary: Call = {
  args: [operand([2, 3], { wrongShapes: [[4], [2, 4]] }), operand([2, 3], { wrongShapes: [[4]] })],
}
const reduce: Call = {
  args: [tensorOf([2, 3]), options({}, { axis: but(axis(2), 'array'), keepDims: boolean })],
}
const softmax: Call = { args: [tensorOf([2, 3]), options({}, { axis: axis(2) })] }
const heads = tensorOf([1, 2, 3, 4], {
  wrongShapes: [
    [2, 3, 4],
    [2, 2, 3, 4],
    [1, 3, 3, 4],
    [1, 2, 5, 4],
  ],
})
const queries = tensorOf([1, 2, 3, 4], {
  wrongShapes: [
    [2, 3, 4],
    [2, 2, 3, 4],
    [1, 3, 3, 4],
    [1, 2, 3, 5],
  ],
})
const gate = tensorOf([2, 3], { wrongShapes: [[3], [2, 4]] })
const vector3 = optional(tensorOf([3], { wrongShapes: [[], [2], [1, 3]] }))
const random = instance(() => 'zeros')
const dropProbability = number(0, 0.999999)

const onTensor = (...args: Kind[]): Call => ({ args, on: tensorOf([2, 3]) })
const dropoutSource = optional(instance(() => new nn.DropoutSource(tensor.zeros([], { dtype: 'i32' }))))

// ---- layers ---------------------------------------------------------------------------------------------------------

const dim = 4
const rowsOfDim = tensorOf([1, 3, dim], { wrongShapes: [[], [3], [1, 3, 5]] })
const sequence = tensorOf([1, 3, dim], { wrongShapes: [[], [dim], [1, 3, 5], [1, 1, 3, dim]] })
const layer: Readonly<Record<string, Kind>> = {
  ffn: integer(1, any),
  kvHeads: integer(1, 2),
  rope: options({}, { theta: number(0), dim: integer(2, 2), interleaved: boolean }),
  activation,
  normFirst: boolean,
  bias: boolean,
  dropout: dropProbability,
  epsilon: number(0),
  random,
}
const width = { dim: integer(1, any, dim), heads: integer(1, any, 2) }
const stack = { ...layer, finalNorm: boolean }
const keyLengths = tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] })
const attend: Readonly<Record<string, Kind>> = {
  causal: boolean,
  keyLengths,
  dropout: dropoutSource,
}
const feedForward = options(
  { dim: width.dim },
  { hidden: integer(1, any), activation, bias: boolean, dropout: dropProbability, random },
)
const gatedFeedForward = options(
  { dim: width.dim },
  { hidden: integer(1, any), bias: boolean, dropout: dropProbability, random },
)
const make = {
  random: () => new Random(1),
  attention: () => new nn.MultiHeadAttention({ dim, heads: 2 }),
  encoder: () => new nn.TransformerEncoder({ dim, heads: 2, ffn: 4, layers: 1 }),
  decoder: () => new nn.TransformerDecoder({ dim, heads: 2, ffn: 4, layers: 1 }),
  transformer: () => new nn.Transformer({ dim, heads: 2, ffn: 4, encoderLayers: 1, decoderLayers: 1 }),
  cache: () => new nn.KeyValueCache({ layers: 1, kvHeads: 1, headDim: 2, capacity: 2 }),
  linear: () => new nn.Linear(dim, 2),
  gpt: () => new GPT({ vocabSize: 5, layers: 1, heads: 2, hiddenSize: 4, context: 4 }),
  tokenizer: () => CharTokenizer.train('abc'),
  task: () => causalLM({ train: new Int32Array(9), validation: new Int32Array(9), context: 4 }),
  trainer: () => new Trainer(make.gpt(), { task: make.task(), steps: 1, batchSize: 1 }),
}
const on = (create: () => unknown): Pick<Call, 'on'> => ({ on: { valid: create, wrong: [] } })
const decoderOptions = options({}, { ...attend, memoryKeyLengths: keyLengths })
const gpt = instance(make.gpt)
const tokenIds = tensorOf([1, 3], { dtype: 'i32', wrongShapes: [[1, 5]] })
const dropping = options({}, { dropout: dropoutSource })
const decoderInputs = options({ tokens: tokenIds }, { positions: tensorOf([3], { dtype: 'i32', wrongShapes: [[2]] }) })
const hiddenStates = tensorOf([3, 4], { wrongShapes: [[], [4], [3, 5]] })
const sampling = { temperature: number(0), topK: integer(1, any), topP: number(0, 1), seed }
const loss = fn(
  () =>
    ({ x }: { x: Tensor }) =>
      x.sum(),
)
const oneTensor = tensorOf([2])
const anyTensor = tensorOf([], { wrongDTypes: [] })
/** Given by the package itself. */
const trusted = (value: unknown): Kind => ({ valid: () => value, wrong: [] })
const plainError: Call = { args: [] }

/** Every public function, by its path in the package; `heedful/train` stands under `train`. */
export const calls: Readonly<Record<string, Call>> = {
  // Errors take any message.
  ...Object.fromEntries(
    ['Argument', 'DType', 'Disposed', 'Execution', 'File', 'Heedful', 'NativeLoad', 'Shape', 'Trace'].map((name) => [
      `${name}Error`,
      plainError,
    ]),
  ),

  // ---- tensors
  tensor: {
    args: [
      but(
        instance(() => [1, 2]),
        'array',
        'number',
        'NaN',
        'infinity',
        'negative',
        'fraction',
        'huge',
      ),
      options({}, { dtype, shape: but(shape(), 'array') }),
    ],
  },
  'tensor.zeros': { args: [shape(), options({}, { dtype })] },
  'tensor.ones': { args: [shape(), options({}, { dtype })] },
  'tensor.full': { args: [shape(), but(number(), 'NaN', 'infinity'), options({}, { dtype })] },
  'tensor.arange': { args: [but(integer(0, any), 'huge'), options({}, { dtype })] },
  'tensor.randn': { args: [shape(), options({}, { dtype, seed })] },
  'tensor.rand': { args: [shape(), options({}, { dtype, seed, low: number(), high: number() })] },
  Tensor: { args: [trusted([2]), trusted('f32'), instance(() => tensor.zeros([2]).memory('test'))] },
  Parameter: { args: [trusted([2]), trusted('f32'), instance(() => tensor.zeros([2]).memory('test'))] },
  'Tensor#memory': { args: [trusted('memory')], on: tensorOf([]) },
  'Tensor#data': onTensor(),
  'Tensor#toArray': onTensor(),
  'Tensor#item': { args: [], on: tensorOf([], { wrongDTypes: [], wrongShapes: [[2], [0]] }) },
  'Tensor#copyFrom': {
    ...onTensor(tensorOf([2, 3], { wrongDTypes: [], wrongShapes: [[3, 2], [6], []] })),
    named: /^(copyFrom|data)/,
  },
  'Tensor#dispose': { args: [], ...on(() => tensor.zeros([2])) },
  'Tensor#toString': { args: [], ...on(() => tensor.zeros([2])) },
  ...Object.fromEntries(
    [
      'negate',
      'absolute',
      'square',
      'squareRoot',
      'reciprocal',
      'exp',
      'log',
      'relu',
      'gelu',
      'silu',
      'sigmoid',
      'tanh',
    ].map((name) => [`Tensor#${name}`, onTensor()]),
  ),
  ...Object.fromEntries(
    ['add', 'subtract', 'multiply', 'divide', 'power', 'maximum', 'minimum'].map((name) => [
      `Tensor#${name}`,
      onTensor(binary.args[1]!),
    ]),
  ),
  ...Object.fromEntries(['sum', 'mean', 'max', 'min'].map((name) => [`Tensor#${name}`, onTensor(reduce.args[1]!)])),
  'Tensor#matmul': onTensor(tensorOf([3, 2], { wrongShapes: [[2, 2], [3]] }), options({}, { activation })),
  'Tensor#softmax': onTensor(softmax.args[1]!),
  'Tensor#reshape': onTensor(but(shape([6]), '[-1]')),
  'Tensor#transpose': onTensor(optional(instance(() => [1, 0]))),
  'Tensor#slice': onTensor(axis(2), integer(-any, any, 0)),
  'Tensor#cast': onTensor(dtype),
  liveBytes: { args: [] },
  Random: { args: [but(number(), 'negative')] },
  'Random#uint32': { args: [], ...on(make.random) },
  'Random#uniform': { args: [], ...on(make.random) },
  'Random#normal': { args: [], ...on(make.random) },
  'Random#integer': { args: [integer(1, any)], ...on(make.random), named: /^Random:/ },

  // ---- operations
  ...Object.fromEntries(
    [
      'absolute',
      'cosine',
      'exp',
      'gelu',
      'geluTanh',
      'log',
      'negate',
      'reciprocal',
      'reciprocalSquareRoot',
      'relu',
      'sigmoid',
      'sign',
      'silu',
      'sine',
      'square',
      'squareRoot',
      'tanh',
    ].map((name) => [`ops.${name}`, unary]),
  ),
  ...Object.fromEntries(
    ['add', 'subtract', 'multiply', 'divide', 'power', 'maximum', 'minimum', 'greater', 'greaterEqual', 'equal'].map(
      (name) => [`ops.${name}`, binary],
    ),
  ),
  ...Object.fromEntries(['sum', 'mean', 'max', 'min'].map((name) => [`ops.${name}`, reduce])),
  'ops.softmax': softmax,
  'ops.logSoftmax': softmax,
  'ops.activate': { args: [trusted('activate'), activation, tensorOf([2])], named: /^(activate|relu):/ },
  'ops.matmul': {
    args: [
      matrix,
      tensorOf([3, 2], { wrongShapes: [[2, 2], [3], []] }),
      options({}, { bias: tensorOf([2], { wrongShapes: [[], [3], [1, 2]] }), activation }),
    ],
  },
  'ops.attention': {
    args: [
      queries,
      heads,
      heads,
      options(
        {},
        { causal: boolean, scale: number(), keyLengths: tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] }) },
      ),
    ],
  },
  'ops.cacheWrite': {
    args: [
      tensorOf([1, 2, 4, 4], {
        wrongShapes: [
          [2, 4, 4],
          [1, 2, 2, 4],
          [1, 1, 4, 4],
        ],
      }),
      tensorOf([1, 2, 3, 4], {
        wrongShapes: [
          [2, 3, 4],
          [2, 2, 3, 4],
          [1, 2, 5, 4],
        ],
      }),
      intScalar,
    ],
  },
  'ops.embedding': {
    args: [
      tensorOf([5, 3], { wrongShapes: [[], [5], [5, 3, 1]] }),
      tensorOf([2], { dtype: 'i32', wrongShapes: [[1, 1, 1, 1, 1, 1]] }),
      options({}, { paddingIndex: integer(0, 4) }),
    ],
  },
  'ops.crossEntropy': {
    args: [
      tensorOf([2, 3], { wrongShapes: [[], [3], [1, 2, 3]] }),
      tensorOf([2], { dtype: 'i32', wrongShapes: [[], [3], [2, 1]] }),
      options(
        {},
        {
          ignoreIndex: integer(-(2 ** 31), 2 ** 31 - 1),
          labelSmoothing: number(0, 1),
          reduction: oneOf('none', 'mean', 'sum'),
        },
      ),
    ],
  },
  'ops.dropout': {
    args: [
      tensorOf([2]),
      options({ probability: number(0, 0.999999, 0.5), seed: intScalar }, { stream: integer(0, 2 ** 31 - 1) }),
    ],
  },
  'ops.gated': { args: [activation, gate, gate] },
  'ops.swiglu': { args: [gate, gate], named: /^(swiglu|gated)/ },
  'ops.geglu': { args: [gate, gate], named: /^(geglu|gated)/ },
  'ops.layerNorm': {
    named: /^(layerNorm|norm):/,
    args: [tensorOf([2, 3], { wrongShapes: [[]] }), vector3, vector3, options({}, { epsilon: number(0) })],
  },
  'ops.rmsNorm': {
    named: /^(rmsNorm|norm):/,
    args: [tensorOf([2, 3], { wrongShapes: [[]] }), vector3, options({}, { epsilon: number(0) })],
  },
  'ops.adamWStep': {
    args: [
      tensorOf([2], { wrongShapes: [[3]] }),
      options(
        {
          gradient: tensorOf([2], { wrongShapes: [[3], []] }),
          m: tensorOf([2], { wrongShapes: [[3], []] }),
          v: tensorOf([2], { wrongShapes: [[3], []] }),
          learningRate: scalar,
          step: intScalar,
        },
        {
          gradientScale: scalar,
          beta1: number(0, 1 - 2 ** -53),
          beta2: number(0, 1 - 2 ** -53),
          epsilon: number(0),
          weightDecay: number(0),
        },
      ),
    ],
  },
  'ops.globalNorm': { args: [arrayOf(oneTensor)] },
  'ops.clipScale': { args: [tensorOf([]), number(0, Infinity, 1)], named: /^(clipScale|add):/ },
  'ops.fill': { args: [shape(), but(number(), 'NaN', 'infinity'), optional(dtype)] },
  'ops.rotaryEmbedding': {
    args: [
      tensorOf([1, 2, 3, 4], {
        wrongShapes: [
          [2, 3, 4],
          [1, 2, 4, 4],
          [1, 2, 3, 3],
        ],
      }),
      tensorOf([3], { dtype: 'i32', wrongShapes: [[], [2], [2, 3]] }),
      tensorOf([2], { wrongShapes: [[], [3], [1, 2]] }),
      options({}, { interleaved: boolean }),
    ],
  },
  'ops.cast': { args: [tensorOf([2], { wrongDTypes: [] }), dtype] },
  'ops.broadcastTo': { args: [tensorOf([2], { wrongDTypes: [], wrongShapes: [[3], [1, 1, 1]] }), shape()] },
  'ops.concat': { args: [arrayOf(tensorOf([2], { wrongShapes: [[2, 2], []] })), optional(axis(1))] },
  'ops.pad': {
    args: [
      tensorOf([2], { wrongDTypes: [], wrongShapes: [[]] }),
      axis(1),
      but(integer(0, any), 'huge'),
      integer(0, any),
    ],
  },
  'ops.reshape': { args: [tensorOf([2], { wrongDTypes: [], wrongShapes: [[3]] }), but(shape(), '[-1]')] },
  'ops.slice': {
    args: [
      tensorOf([2], { wrongDTypes: [], wrongShapes: [[]] }),
      axis(1),
      integer(-any, any, 0),
      optional(integer(-any, any, 0)),
    ],
  },
  'ops.split': {
    args: [
      tensorOf([2], { wrongDTypes: [], wrongShapes: [[3], []] }),
      but(integer(1, any, 2), 'detached'),
      optional(axis(1)),
    ],
  },
  'ops.transpose': {
    args: [tensorOf([2, 3], { wrongDTypes: [], wrongShapes: [[2]] }), optional(instance(() => [1, 0]))],
  },

  // ---- programs and gradients
  compile: {
    args: [loss, options({}, { rows: options({ capacity: integer(1, 2 ** 32), inputs: instance(() => ['x']) }) })],
  },
  grad: { args: [loss, optional(but(mapOf('x', oneTensor), 'object', 'array'))], named: /^(grad|valueAndGrad):/ },
  valueAndGrad: { args: [loss, optional(but(mapOf('x', oneTensor), 'object', 'array'))] },

  // ---- layers
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
  'nn.Linear': { args: [integer(1, any), integer(1, any), options({}, { bias: boolean, random })] },
  'nn.Linear#forward': {
    args: [rowsOfDim, options({}, { activation })],
    ...on(make.linear),
    named: /^(Linear|matmul)/,
  },
  'nn.LayerNorm': { args: [integer(1, any), options({}, { epsilon: number(0), bias: boolean })] },
  'nn.LayerNorm#forward': { args: [rowsOfDim], ...on(() => new nn.LayerNorm(dim)), named: /^(layerNorm|norm):/ },
  'nn.RMSNorm': { args: [integer(1, any), options({}, { epsilon: number(0) })] },
  'nn.RMSNorm#forward': { args: [rowsOfDim], ...on(() => new nn.RMSNorm(dim)), named: /^(rmsNorm|norm):/ },
  'nn.FeedForward': { args: [feedForward] },
  'nn.FeedForward#forward': {
    args: [rowsOfDim, dropping],
    ...on(() => new nn.FeedForward({ dim, dropout: 0.5 })),
    named: /^(FeedForward|matmul)/,
  },
  'nn.GatedFeedForward': { args: [feedForward] },
  'nn.GatedFeedForward#forward': {
    args: [rowsOfDim, dropping],
    ...on(() => new nn.GatedFeedForward({ dim, dropout: 0.5 })),
    named: /^(GatedFeedForward|matmul)/,
  },
  'nn.SwiGLU': { args: [gatedFeedForward], named: /^(SwiGLU|GatedFeedForward)/ },
  'nn.GeGLU': { args: [gatedFeedForward], named: /^(GeGLU|GatedFeedForward)/ },
  'nn.KeyValueCache': {
    args: [
      options(
        { layers: integer(1, 10_000), kvHeads: integer(1, any), headDim: integer(1, any), capacity: integer(1, any) },
        { batch: integer(1, any) },
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
        bias: boolean,
        outputBias: boolean,
        rope: layer['rope']!,
        dropout: dropProbability,
        random,
      }),
    ],
  },
  'nn.MultiHeadAttention#forward': {
    args: [sequence, options({}, { ...attend })],
    ...on(make.attention),
    named: /^(MultiHeadAttention|attention|matmul)/,
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

  // ---- models
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
          bias: boolean,
          tieEmbeddings: boolean,
          dropout: dropProbability,
        },
      ),
      options({}, { random }),
    ],
    named: /^(DecoderModel|DecoderConfig|Parameter)/,
  },
  'DecoderModel#initializeAsGpt2': { args: [options({}, { random })], ...on(make.gpt) },
  'DecoderModel#dispose': { args: [], ...on(make.gpt) },
  'DecoderModel#hidden': { args: [decoderInputs, dropping], ...on(make.gpt), named: /^(DecoderModel|embedding|add)/ },
  'DecoderModel#logits': { args: [hiddenStates], ...on(make.gpt), named: /^matmul/ },
  'DecoderModel#forward': { args: [decoderInputs, dropping], ...on(make.gpt), named: /^(DecoderModel|embedding|add)/ },
  'DecoderModel#loss': {
    args: [
      options(
        { tokens: tokenIds, targets: tensorOf([1, 3], { dtype: 'i32', wrongShapes: [[1, 2], []] }) },
        { positions: tensorOf([3], { dtype: 'i32', wrongShapes: [[2]] }) },
      ),
      dropping,
    ],
    ...on(make.gpt),
    named: /^(DecoderModel|embedding|add|crossEntropy)/,
  },
  'DecoderModel#logitsOfRow': {
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
  loadDecoder: { args: [path(folder), options({}, { signal })], fails: /no such file/ },
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

  // ---- files and text
  readSafetensors: { args: [path(() => join(folder(), 'a')), options({}, { signal })], fails: /no such file/ },
  writeSafetensors: {
    args: [
      path(() => join(folder(), 'a')),
      but(mapOf('x', but(oneTensor, 'i32')), 'array'),
      optional(
        but(
          instance(() => ({})),
          'object',
        ),
      ),
      options({}, { signal }),
    ],
  },
  CharTokenizer: {
    args: [
      but(
        instance(() => ['a']),
        'array',
      ),
    ],
    named: /^CharTokenizer/,
  },
  'CharTokenizer.train': { args: [text] },
  'CharTokenizer.load': { args: [path(folder)], fails: /no such file/ },
  'CharTokenizer.fromJson': { args: [trusted({}), trusted('a file')], fails: /^a file: not a tokenizer/ },
  'CharTokenizer#encode': { args: [text], ...on(make.tokenizer) },
  'CharTokenizer#decode': {
    args: [
      but(
        tokens(() => Int32Array.of(1)),
        'array',
      ),
    ],
    ...on(make.tokenizer),
  },
  'CharTokenizer#decoder': { args: [], ...on(make.tokenizer) },
  'CharTokenizer#save': { args: [path(folder)], ...on(make.tokenizer) },
  loadTokenizer: { args: [path(folder)], fails: /no such file/ },

  // ---- training
  'train.adamW': {
    args: [
      options(
        {},
        {
          beta1: number(0, 1 - 2 ** -53),
          beta2: number(0, 1 - 2 ** -53),
          epsilon: number(0),
          weightDecay: number(0),
          decayVectors: boolean,
        },
      ),
    ],
  },
  'train.causalLM': {
    args: [
      options(
        { train: tokens(() => new Int32Array(9), 0, 4), context: integer(1, 8, 4) },
        { validation: tokens(() => new Int32Array(9), 0, 4) },
      ),
    ],
  },
  'train.constantRate': { args: [number(0)] },
  'train.warmupCosine': { args: [options({ peak: number(0) }, { warmup: integer(0, any), final: number(0) })] },
  'train.evaluate': {
    args: [gpt, instance(make.task), optional(integer(1, any)), options({}, { signal })],
  },
  'train.trainingStep': {
    args: [
      options(
        {
          parameters: instance(() => make.gpt().parameters()),
          loss,
          optimizer: instance(() => adamW()(make.gpt().parameters())),
        },
        { clipNorm: number(0) },
      ),
    ],
  },
  'train.Trainer': {
    args: [
      gpt,
      options(
        { task: instance(make.task), steps: integer(1, any), batchSize: integer(1, any) },
        {
          optimizer: fn(() => adamW()),
          schedule: fn(() => constantRate(1)),
          clipNorm: but(number(0), 'infinity'),
          evaluateEvery: integer(1, any),
          evaluationBatchSize: integer(1, any),
          seed: integer(0, 2 ** 31 - 1),
          signal,
          out: path(folder),
        },
      ),
    ],
  },
  'train.Trainer#resume': { args: [], ...on(make.trainer), fails: /has no folder/ },
  'train.readMetrics': { args: [path(folder)], fails: /no such file/ },
  'train.startRun': { args: [path(folder)], named: /^(startRun|Trainer)/ },
  'train.Trainer#restore': { args: [instance(() => make.trainer().state)], ...on(make.trainer), named: /^Trainer/ },
  'train.Trainer#evaluate': { args: [], ...on(make.trainer) },
  'train.Trainer#dispose': { args: [], ...on(make.trainer) },
  'train.saveTrainerState': { args: [path(folder), gpt, instance(make.trainer)] },
  'train.restoreTrainerState': { args: [path(folder), gpt, instance(make.trainer)], fails: /no such file/ },

  // ---- the addon
  'runtime.isa': { args: [] },
  'runtime.availableIsas': { args: [] },
  'runtime.setIsa': { args: [oneOf('scalar')] },
  'runtime.threads': { args: [] },
  'runtime.setThreads': { args: [integer(1, 1024)] },
  'runtime.liveBytes': { args: [] },
  'runtime.cpuName': { args: [] },
}
