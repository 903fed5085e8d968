export {
  TransformerDecoder,
  TransformerDecoderLayer,
  type DecoderForwardOptions,
  type DecoderLayerForwardOptions,
} from './decoder.ts'
export { DropoutSource } from './dropout.ts'
export {
  TransformerEncoder,
  TransformerEncoderLayer,
  type StackForwardOptions,
  type TransformerLayerOptions,
  type TransformerStackOptions,
} from './encoder.ts'
export { FeedForward, GatedFeedForward, GeGLU, SwiGLU, type FeedForwardOptions } from './feed-forward.ts'
export { KeyValueCache, type CacheShape, type LayerCache } from './key-value-cache.ts'
export { Embedding, Linear, type EmbeddingLayerOptions, type LinearOptions } from './linear.ts'
export { MixtureOfExperts, type MixtureOfExpertsOptions } from './mixture-of-experts.ts'
export { Module } from './module.ts'
export {
  MultiHeadAttention,
  type AttendOptions,
  type MultiHeadAttentionOptions,
  type QueryKeyNorm,
  type RotaryConfig,
} from './multi-head-attention.ts'
export { LayerNorm, RMSNorm, type LayerNormOptions, type RMSNormOptions } from './norms.ts'
export {
  Transformer,
  type TransformerForwardOptions,
  type TransformerOptions,
  type TransformerStacks,
} from './transformer.ts'
