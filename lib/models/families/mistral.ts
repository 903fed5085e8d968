import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { Family } from './family.ts'
import { likeLlama, llamaFields, llamaKeys } from './llama.ts'
import { rotaryPositions } from './rope-keys.ts'
import { slidingWindow } from './window-keys.ts'

/** Mistral (Jiang et al. 2023): a Llama whose tokens see a window. */
export const mistral: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'mistral',
  architectures: {
    MistralForCausalLM: 'causal-lm',
    MistralForSequenceClassification: 'sequence-classification',
    MistralForTokenClassification: 'token-classification',
    MistralForQuestionAnswering: 'question-answering',
    MistralModel: 'none',
  },
  config: {
    ...llamaKeys,
    max_position_embeddings: { field: 'context', kind: 'size', default: 131_072 },
    num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 8 },
  },
  parts: [rotaryPositions(), slidingWindow({ default: 4096 })],
  fixed: llamaFields,
  harmless: { layer_types: undefined, attention_bias: false, quantization_config: undefined },
  constants: { attention_dropout: 0 },
}
