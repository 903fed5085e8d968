import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { Family } from './family.ts'
import { likeLlama, llamaFields, llamaKeys, llamaWeights } from './llama.ts'
import { rotaryPositions } from './rope-keys.ts'
import { slidingWindow } from './window-keys.ts'

const { heedful_dropout: _unread, ...keys } = llamaKeys

/** Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024): a Llama with joined projections. */
export const phi3: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'phi3',
  architectures: {
    Phi3ForCausalLM: 'causal-lm',
    Phi3ForSequenceClassification: 'sequence-classification',
    Phi3ForTokenClassification: 'token-classification',
    Phi3Model: 'none',
  },
  config: {
    ...keys,
    max_position_embeddings: { field: 'context', kind: 'size', default: 4096 },
    rms_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    resid_pdrop: { field: 'dropout', kind: 'number', default: 0, also: ['embd_pdrop'] },
  },
  parts: [
    rotaryPositions({
      share: { key: 'partial_rotary_factor', default: 1 },
      types: ['none', 'longrope'],
      longropeAliases: ['su', 'yarn'],
      originalOutside: true,
    }),
    slidingWindow({ default: null }),
  ],
  fixed: { ...llamaFields, joined: true },
  harmless: { layer_types: undefined, attention_bias: false, quantization_config: undefined },
  constants: { attention_dropout: 0 },
  weights: {
    ...llamaWeights,
    'model.layers.#.self_attn.qkv_proj.weight': 'layers.#.attention.qkv.weight',
    'model.layers.#.mlp.gate_up_proj.weight': 'layers.#.mlp.gateUp.weight',
  },
}
