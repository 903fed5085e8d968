import { adamW, constantRate } from '../../../lib/train/index.ts'
import {
  optional,
  but,
  integer,
  number,
  boolean,
  fn,
  oneOf,
  signal,
  path,
  tokens,
  mapOf,
  instance,
  options,
} from '../kinds.ts'
import { on, any, folder, gpt, oneTensor, loss, make, type Call } from './call.ts'

/** Empty ones ask for no gradient. */
const differentiable = optional(
  but(mapOf('x', oneTensor), 'object', 'array', 'tensor', 'a map with object', 'a map with array'),
)

export const training: Readonly<Record<string, Call>> = {
  compile: {
    args: [
      loss,
      options(
        {},
        {
          rows: options({ capacity: integer(1, 2 ** 32), inputs: instance(() => ['x']) }),
          precision: oneOf('f32', 'bf16'),
        },
      ),
    ],
  },
  grad: { args: [loss, differentiable], named: /^(grad|valueAndGrad):/ },
  valueAndGrad: { args: [loss, differentiable], named: /^(grad|valueAndGrad):/ },

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
        { clipNorm: number(0), precision: oneOf('f32', 'bf16') },
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
          precision: oneOf('f32', 'bf16'),
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

  'runtime.isa': { args: [] },
  'runtime.availableIsas': { args: [] },
  'runtime.setIsa': { args: [oneOf('scalar')] },
  'runtime.threads': { args: [] },
  'runtime.setThreads': { args: [integer(1, 1024)] },
  'runtime.liveBytes': { args: [] },
  'runtime.cpuName': { args: [] },
}
