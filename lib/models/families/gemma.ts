import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { Family } from './family.ts'
import { likeLlama, llamaFields, llamaKeys, llamaWeights } from './llama.ts'
import { rotaryPositions } from './rope-keys.ts'
import { slidingWindow } from './window-keys.ts'

const keys = {
  ...llamaKeys,
  num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 4 },
  head_dim: { field: 'headDim', kind: 'size', default: 256 },
  hidden_activation: { field: 'activation', kind: 'activation', default: 'gelu_pytorch_tanh' },
  tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: true },
  query_pre_attn_scalar: { field: 'scoreDim', kind: 'number', default: 256 },
  attention_bias: { field: 'qkvBias', kind: 'flag', default: false },
} as const satisfies Family<DecoderConfig>['config']
const { hidden_act: _unread, ...gemmaKeys } = keys

const shared = {
  ...likeLlama,
  fixed: { ...llamaFields, normPlacement: 'both', normOffset: 1, scaleEmbedding: true },
  harmless: { use_bidirectional_attention: false, quantization_config: undefined },
  constants: { attention_dropout: 0 },
  weights: {
    ...llamaWeights,
    'model.layers.#.post_attention_layernorm.weight': 'layers.#.attentionOutputNorm.weight',
    'model.layers.#.pre_feedforward_layernorm.weight': 'layers.#.mlpNorm.weight',
    'model.layers.#.post_feedforward_layernorm.weight': 'layers.#.mlpOutputNorm.weight',
  },
} as const satisfies Partial<Family<DecoderConfig, DecoderModel>>

/** Gemma 2 (Gemma Team 2024): norms around each part, soft caps, a window in every other layer. */
export const gemma2: Family<DecoderConfig, DecoderModel> = {
  ...shared,
  modelType: 'gemma2',
  architectures: {
    Gemma2ForCausalLM: 'causal-lm',
    Gemma2ForSequenceClassification: 'sequence-classification',
    Gemma2ForTokenClassification: 'token-classification',
    Gemma2Model: 'none',
  },
  config: {
    ...gemmaKeys,
    max_position_embeddings: { field: 'context', kind: 'size', default: 8192 },
    attn_logit_softcapping: { field: 'scoreSoftcap', kind: 'number', default: 50, null: 0 },
    final_logit_softcapping: { field: 'logitSoftcap', kind: 'number', default: 30, null: 0 },
  },
  parts: [rotaryPositions(), slidingWindow({ default: 4096, layers: (index) => index % 2 === 0 })],
}

/** Gemma 3 for text (Gemma Team 2025): norms of queries and keys, and rotary positions of another base in layers with a window. */
export const gemma3: Family<DecoderConfig, DecoderModel> = {
  ...shared,
  modelType: 'gemma3_text',
  architectures: {
    Gemma3ForCausalLM: 'causal-lm',
    Gemma3TextForSequenceClassification: 'sequence-classification',
    Gemma3TextModel: 'none',
  },
  config: {
    ...gemmaKeys,
    max_position_embeddings: { field: 'context', kind: 'size', default: 131_072 },
    final_logit_softcapping: { field: 'logitSoftcap', kind: 'number', default: 0, null: 0 },
  },
  parts: [
    rotaryPositions({ theta: 1e6, local: { key: 'rope_local_base_freq', default: 1e4 } }),
    slidingWindow({
      default: 4096,
      layers: (index, { sliding_window_pattern: every }) => (index + 1) % (typeof every === 'number' ? every : 6) !== 0,
    }),
  ],
  fixed: { ...shared.fixed, queryKeyNorm: 'heads' },
  // transformers takes no notice of it.
  harmless: { ...shared.harmless, attn_logit_softcapping: undefined },
}
