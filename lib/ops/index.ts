export {
  absolute,
  add,
  cast,
  cosine,
  divide,
  equal,
  erf,
  exp,
  gelu,
  geluTanh,
  greater,
  greaterEqual,
  log,
  maximum,
  minimum,
  multiply,
  negate,
  power,
  reciprocal,
  reciprocalSquareRoot,
  relu,
  sigmoid,
  sign,
  silu,
  sine,
  square,
  squareRoot,
  subtract,
  tanh,
  type Activation,
  type Operand,
} from './elementwise.ts'
export { fill } from './fill.ts'
export { attention, attentionWithProbabilities, type AttentionOptions } from './attention.ts'
export { cachedAttention, type CachedAttentionOptions } from './cached-attention.ts'
export {
  cacheCopy,
  cacheWrite,
  quantizedCache,
  type CacheCopies,
  type CacheFormat,
  type CacheWriteOptions,
  type QuantizedCache,
} from './cache.ts'
export { crossEntropy, type CrossEntropyOptions } from './cross-entropy.ts'
export { dropout, type DropoutOptions } from './dropout.ts'
export { embedding, type EmbeddingOptions } from './embedding.ts'
export { gated, geglu, swiglu } from './gated.ts'
export { activate, matmul, type MatmulOptions } from './matmul.ts'
export { linearCrossEntropy, type LinearCrossEntropyOptions } from './linear-cross-entropy.ts'
export { mixtureOfExperts, type MixtureOptions } from './mixture-of-experts.ts'
export { layerNorm, rmsNorm, type NormOptions } from './norm.ts'
export { adamWStep, clipScale, globalNorm, type AdamWStep } from './optimizer-step.ts'
export { dequantize, quantize, type QuantizedMatrix, type WeightFormat } from './quantize.ts'
export { max, mean, min, sum, type ReduceOptions } from './reduce.ts'
export { rotaryEmbedding, type RotaryOptions } from './rotary-embedding.ts'
export { sample, type SampleOptions } from './sample.ts'
export { logSoftmax, softmax, type SoftmaxOptions } from './softmax.ts'
export { broadcastTo, concat, pad, reshape, slice, split, transpose } from './view.ts'
