import {
  tensorOf,
  optional,
  but,
  integer,
  number,
  boolean,
  oneOf,
  dtype,
  shape,
  axis,
  arrayOf,
  instance,
  options,
  type Kind,
} from '../kinds.ts'
import { ops, tensor } from '../../../lib/index.ts'
import { any, activation, trusted, oneTensor, scalar, intScalar, binary, reduce, softmax, type Call } from './call.ts'

const matrix = tensorOf([2, 3], { wrongShapes: [[], [3]] })
const unary: Call = { args: [tensorOf([2, 3])] }
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

/** One number of each row. */
const row = (dtype: 'f32' | 'i32'): Kind => tensorOf([1], { dtype, wrongShapes: [[], [2], [1, 1]] })
const copied = tensorOf([1], { dtype: 'i32', wrongShapes: [[], [1, 1]] })

const window: Kind = {
  valid: () => 2,
  wrong: [
    ...integer(1, 2 ** 31 - 1).wrong,
    ...([[1], [1, 2, 3], [-1, 0], [0.5, 0], [0, NaN], ['1', 0], [2 ** 31, 0]] as unknown[]).map((value) => ({
      name: JSON.stringify(value),
      make: () => value,
    })),
  ],
}
const attention: Call = {
  args: [
    queries,
    heads,
    heads,
    options(
      {},
      {
        causal: boolean,
        scale: number(),
        keyLengths: tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] }),
        window,
        softcap: number(0, Infinity, 1),
        precision: oneOf('f32', 'bf16'),
        alibiSlopes: tensorOf([2], { wrongShapes: [[], [1], [1, 2]] }),
        bias: tensorOf([2, 3, 3], { wrongShapes: [[], [3], [3, 2], [3, 3, 3], [2, 2, 3, 3], [1, 1, 1, 3, 3]] }),
        offsets: tensorOf([2], { dtype: 'i32', wrongShapes: [[], [0], [1, 2]] }),
        keyOffsets: tensorOf([2], { dtype: 'i32', wrongShapes: [[], [1]] }),
      },
    ),
  ],
}

export const operations: Readonly<Record<string, Call>> = {
  ...Object.fromEntries(
    [
      'absolute',
      'cosine',
      'erf',
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
      options(
        {},
        { bias: tensorOf([2], { wrongShapes: [[], [3], [1, 2]] }), activation, precision: oneOf('f32', 'bf16') },
      ),
    ],
  },
  'ops.quantize': {
    args: [
      tensorOf([2, 3], { wrongShapes: [[], [3], [1, 2, 3]] }),
      oneOf('bf16', 'f32', 'f16', 'int8', 'q8_0', 'q4_0'),
    ],
  },
  'ops.dequantize': {
    args: [instance(() => ops.quantize(tensor.ones([2, 3]), 'bf16')), optional(oneOf('f32', 'f64'))],
  },
  'ops.quantizedCache': {
    args: [shape([1, 2, 4, 4]), oneOf('bf16', 'int8')],
  },
  'ops.cachedAttention': {
    args: [
      queries,
      heads,
      heads,
      options(
        { keyLengths: tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] }) },
        {
          causal: boolean,
          scale: number(),
          precision: oneOf('f32', 'bf16'),
          window,
          softcap: number(0),
          slots: tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] }),
          offsets: tensorOf([2], { dtype: 'i32', wrongShapes: [[], [0], [3], [2, 1]] }),
          bias: tensorOf([2, 3], { wrongShapes: [[], [3], [2, 4], [1, 3]] }),
          alibiSlopes: tensorOf([2], { wrongShapes: [[], [3], [2, 1]] }),
        },
      ),
    ],
  },
  'ops.sample': {
    args: [
      tensorOf([1, 4], { wrongShapes: [[], [4], [1, 1, 4]] }),
      options(
        { seed: row('i32'), step: row('i32') },
        { temperature: row('f32'), topK: row('i32'), topP: row('f32'), minP: row('f32') },
      ),
    ],
  },
  'ops.cacheCopy': {
    args: [
      tensorOf([2, 2, 4, 4], {
        wrongShapes: [
          [2, 4, 4],
          [2, 2, 4],
        ],
      }),
      options({ from: copied, to: copied, lengths: copied }),
    ],
  },
  'ops.attention': attention,
  'ops.attentionWithProbabilities': { ...attention, named: /^attention:/ },
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
      options({}, { slots: tensorOf([1], { dtype: 'i32', wrongShapes: [[], [2]] }) }),
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
  'ops.linearCrossEntropy': {
    args: [
      tensorOf([2, 4], { wrongShapes: [[], [4], [1, 2, 4]] }),
      tensorOf([3, 4], { wrongShapes: [[], [4], [3, 5], [1, 3, 4]] }),
      tensorOf([2], { dtype: 'i32', wrongShapes: [[], [3], [2, 1]] }),
      options(
        {},
        {
          bias: tensorOf([3], { wrongShapes: [[], [4], [3, 1]] }),
          ignoreIndex: integer(-(2 ** 31), 2 ** 31 - 1),
          labelSmoothing: number(0, 1),
          reduction: oneOf('mean', 'sum'),
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
  'ops.mixtureOfExperts': {
    args: [
      tensorOf([2, 4], { wrongShapes: [[], [4], [2, 5], [1, 2, 4]] }),
      tensorOf([2, 3], { wrongShapes: [[], [3], [1, 3], [2, 4], [2, 0]] }),
      tensorOf([3, 10, 4], { wrongShapes: [[], [3, 8, 4], [3, 10, 5], [2, 10, 4]] }),
      tensorOf([3, 4, 5], { wrongShapes: [[], [3, 4, 6], [3, 5, 5], [2, 4, 5]] }),
      options({ topK: integer(1, 3) }, { normalize: boolean, activation }),
    ],
  },
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
      options({}, { interleaved: boolean, scale: number(-Infinity, Infinity, 1) }),
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
}
