import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { Family } from './family.ts'
import { headsOfTransformer, likeLlama, llamaFields, llamaKeys } from './llama.ts'
import { rotaryPositions } from './rope-keys.ts'
import { slidingWindow } from './window-keys.ts'

export const qwenKeys = {
  ...llamaKeys,
  max_position_embeddings: { field: 'context', kind: 'size', default: 32_768 },
  num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 32 },
} as const satisfies Family<DecoderConfig>['config']

const parts = [
  rotaryPositions(),
  slidingWindow({
    default: 4096,
    isSwitched: true,
    layers: (index, { max_window_layers: first }) => index >= (typeof first === 'number' ? first : 28),
  }),
]

/** Qwen 2 and 2.5 (Yang et al. 2024): a Llama with biases of queries, keys and values. */
export const qwen2: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'qwen2',
  architectures: {
    Qwen2ForCausalLM: 'causal-lm',
    Qwen2ForSequenceClassification: 'sequence-classification',
    Qwen2ForTokenClassification: 'token-classification',
    Qwen2ForQuestionAnswering: 'question-answering',
    Qwen2Model: 'none',
  },
  heads: headsOfTransformer,
  config: qwenKeys,
  parts,
  fixed: { ...llamaFields, qkvBias: true, outputBias: false },
  harmless: { quantization_config: undefined },
  constants: { attention_dropout: 0 },
}

/** Qwen 3 (Yang et al. 2025): a Llama with norms of each head's queries and keys. */
export const qwen3: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'qwen3',
  architectures: {
    Qwen3ForCausalLM: 'causal-lm',
    Qwen3ForSequenceClassification: 'sequence-classification',
    Qwen3ForTokenClassification: 'token-classification',
    Qwen3ForQuestionAnswering: 'question-answering',
    Qwen3Model: 'none',
  },
  heads: headsOfTransformer,
  config: {
    ...qwenKeys,
    head_dim: { field: 'headDim', kind: 'size', default: 128 },
    attention_bias: { field: 'qkvBias', kind: 'flag', default: false },
  },
  parts,
  fixed: { ...llamaFields, queryKeyNorm: 'heads' },
  harmless: { quantization_config: undefined },
  constants: { attention_dropout: 0 },
}
