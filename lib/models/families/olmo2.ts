import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { Family } from './family.ts'
import { likeLlama, llamaFields, llamaKeys, llamaWeights } from './llama.ts'
import { rotaryPositions } from './rope-keys.ts'

/** OLMo 2 (OLMo Team 2024): norms after each part, and of queries and keys over their whole width. */
export const olmo2: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'olmo2',
  architectures: {
    Olmo2ForCausalLM: 'causal-lm',
    Olmo2ForSequenceClassification: 'sequence-classification',
    Olmo2Model: 'none',
  },
  config: {
    ...llamaKeys,
    rms_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    attention_bias: { field: 'qkvBias', kind: 'flag', default: false },
  },
  parts: [rotaryPositions()],
  fixed: { ...llamaFields, normPlacement: 'output', queryKeyNorm: 'all' },
  harmless: { sliding_window: undefined, clip_qkv: undefined, quantization_config: undefined },
  constants: { attention_dropout: 0 },
  weights: {
    ...llamaWeights,
    'model.layers.#.post_attention_layernorm.weight': 'layers.#.attentionOutputNorm.weight',
    'model.layers.#.post_feedforward_layernorm.weight': 'layers.#.mlpOutputNorm.weight',
  },
}
