import { decoder, type DecoderConfig, type DecoderModel } from '../decoder-model.ts'
import { lastTokenClassifier, tokenHeads, type Family } from './family.ts'
import { rotaryPositions } from './rope-keys.ts'

/** Keys that Llama and what came after it have in common. */
export const llamaKeys = {
  vocab_size: { field: 'vocabSize', kind: 'size' },
  max_position_embeddings: { field: 'context', kind: 'size', default: 2048 },
  hidden_size: { field: 'hiddenSize', kind: 'size' },
  intermediate_size: { field: 'intermediateSize', kind: 'size' },
  num_hidden_layers: { field: 'numLayers', kind: 'size' },
  num_attention_heads: { field: 'numHeads', kind: 'size' },
  num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 'derived' },
  head_dim: { field: 'headDim', kind: 'size', default: 'derived' },
  hidden_act: { field: 'activation', kind: 'activation', default: 'silu' },
  rms_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-6 },
  tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: false },
  heedful_dropout: { field: 'dropout', kind: 'number', default: 0, own: true },
} as const satisfies Family<DecoderConfig>['config']

export const llamaFields = {
  norm: 'rms',
  positions: 'rotary',
  gated: true,
  bias: false,
  joined: false,
  inputsFirst: false,
} as const satisfies Partial<DecoderConfig>

export const llamaWeights = {
  'model.embed_tokens.weight': 'tokenEmbedding.weight',
  'model.layers.#.input_layernorm.weight': 'layers.#.attentionNorm.weight',
  'model.layers.#.self_attn.q_proj.weight': 'layers.#.attention.query.weight',
  'model.layers.#.self_attn.q_proj.bias': 'layers.#.attention.query.bias',
  'model.layers.#.self_attn.k_proj.weight': 'layers.#.attention.key.weight',
  'model.layers.#.self_attn.k_proj.bias': 'layers.#.attention.key.bias',
  'model.layers.#.self_attn.v_proj.weight': 'layers.#.attention.value.weight',
  'model.layers.#.self_attn.v_proj.bias': 'layers.#.attention.value.bias',
  'model.layers.#.self_attn.o_proj.weight': 'layers.#.attention.output.weight',
  'model.layers.#.self_attn.o_proj.bias': 'layers.#.attention.output.bias',
  'model.layers.#.self_attn.q_norm.weight': 'layers.#.attention.queryNorm.weight',
  'model.layers.#.self_attn.k_norm.weight': 'layers.#.attention.keyNorm.weight',
  'model.layers.#.post_attention_layernorm.weight': 'layers.#.mlpNorm.weight',
  'model.layers.#.mlp.gate_proj.weight': 'layers.#.mlp.gate.weight',
  'model.layers.#.mlp.gate_proj.bias': 'layers.#.mlp.gate.bias',
  'model.layers.#.mlp.up_proj.weight': 'layers.#.mlp.up.weight',
  'model.layers.#.mlp.up_proj.bias': 'layers.#.mlp.up.bias',
  'model.layers.#.mlp.down_proj.weight': 'layers.#.mlp.down.weight',
  'model.layers.#.mlp.down_proj.bias': 'layers.#.mlp.down.bias',
  'model.norm.weight': 'norm.weight',
  'lm_head.weight': 'head.weight',
} as const

/** What the checkpoints of Llama and its relatives have in common beside their keys. */
export const likeLlama = {
  assembly: decoder,
  prefix: 'model.',
  weights: llamaWeights,
  heads: { 'sequence-classification': lastTokenClassifier, ...tokenHeads('score') },
  ignored: ['model.layers.#.self_attn.rotary_emb.inv_freq'],
  copies: { 'lm_head.weight': 'model.embed_tokens.weight' },
} as const satisfies Partial<Family<DecoderConfig, DecoderModel>>

/** The heads where question answering calls the model otherwise. */
export const headsOfTransformer = { ...likeLlama.heads, ...tokenHeads('score', 'transformer.') }

/** Llama (Touvron et al. 2023; Llama 3: Grattafiori et al. 2024) and SmolLM. */
export const llama: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'llama',
  architectures: {
    LlamaForCausalLM: 'causal-lm',
    LlamaForSequenceClassification: 'sequence-classification',
    LlamaForTokenClassification: 'token-classification',
    LlamaForQuestionAnswering: 'question-answering',
    LlamaModel: 'none',
  },
  config: {
    ...llamaKeys,
    attention_bias: { field: 'qkvBias', kind: 'flag', default: false },
    mlp_bias: { field: 'mlpBias', kind: 'flag', default: false },
  },
  heads: headsOfTransformer,
  parts: [rotaryPositions()],
  fixed: llamaFields,
  harmless: { sliding_window: undefined, quantization_config: undefined },
  constants: { attention_dropout: 0 },
}
