import { tensor, Tensor } from '../../../lib/index.ts'
import { tensorOf, optional, but, integer, number, dtype, shape, axis, instance, options } from '../kinds.ts'
import { on, any, activation, seed, trusted, onTensor, binary, reduce, softmax, make, type Call } from './call.ts'

const plainError: Call = { args: [] }

export const tensors: Readonly<Record<string, Call>> = {
  // Errors take any message.
  ...Object.fromEntries(
    ['Argument', 'DType', 'Disposed', 'Execution', 'File', 'Heedful', 'Hub', 'NativeLoad', 'Shape', 'Trace'].map(
      (name) => [`${name}Error`, plainError],
    ),
  ),

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
      but(options({}, { dtype, shape: but(shape(), 'array') }), 'tensor'),
    ],
  },
  'tensor.zeros': { args: [shape(), options({}, { dtype })] },
  'tensor.ones': { args: [shape(), options({}, { dtype })] },
  'tensor.full': { args: [shape(), but(number(), 'NaN', 'infinity'), options({}, { dtype })] },
  'tensor.arange': { args: [but(integer(0, any), 'huge'), options({}, { dtype })] },
  'tensor.randn': { args: [shape(), options({}, { dtype, seed })] },
  'tensor.rand': { args: [shape(), options({}, { dtype, seed, low: number(), high: number() })] },
  Tensor: { args: [trusted([2]), trusted('f32'), instance(() => tensor.zeros([2]).memory('test'))] },
  'Tensor#bind': {
    args: [instance(() => tensor.zeros([2]).memory('test'))],
    ...on(() => new Tensor([2], 'f32', 'unbound')),
  },
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
}
