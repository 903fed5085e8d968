import type { ResolvedDecoderConfig } from '../decoder-model.ts'
import type { Family } from './family.ts'

/** The rows of queries, keys and values in `attention.qkv`. */
const queries = ({ numHeads, headDim }: ResolvedDecoderConfig): number => numHeads * headDim
const keys = ({ numKeyValueHeads, headDim }: ResolvedDecoderConfig): number => numKeyValueHeads * headDim

/** Llama (Touvron et al. 2023) with the default rotary positions. */
export const llama: Family = {
  modelType: 'llama',
  architectures: ['LlamaForCausalLM'],
  config: {
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
    'rope_parameters.rope_theta': { field: 'ropeTheta', kind: 'number', default: 1e4, also: ['rope_theta'] },
    tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: false },
    heedful_dropout: { field: 'dropout', kind: 'number', default: 0, own: true },
  },
  fixed: { norm: 'rms', positions: 'rotary', gated: true, bias: false },
  harmless: {
    attention_bias: false,
    mlp_bias: false,
    sliding_window: undefined,
    partial_rotary_factor: 1,
    'rope_parameters.rope_type': 'default',
    'rope_parameters.type': 'default',
    'rope_parameters.factor': 1,
    'rope_parameters.partial_rotary_factor': 1,
    'rope_scaling.rope_type': 'default',
    'rope_scaling.type': 'default',
    'rope_scaling.factor': 1,
    quantization_config: undefined,
  },
  constants: { 'rope_parameters.rope_type': 'default', attention_bias: false, mlp_bias: false, attention_dropout: 0 },
  prefix: 'model.',
  weights: {
    'model.embed_tokens.weight': 'tokenEmbedding.weight',
    'model.layers.#.input_layernorm.weight': 'layers.#.attentionNorm.weight',
    'model.layers.#.self_attn.q_proj.weight': {
      path: 'layers.#.attention.qkv.weight',
      rows: (config) => [0, queries(config)],
    },
    'model.layers.#.self_attn.k_proj.weight': {
      path: 'layers.#.attention.qkv.weight',
      rows: (config) => [queries(config), queries(config) + keys(config)],
    },
    'model.layers.#.self_attn.v_proj.weight': {
      path: 'layers.#.attention.qkv.weight',
      rows: (config) => [queries(config) + keys(config), queries(config) + 2 * keys(config)],
    },
    'model.layers.#.self_attn.o_proj.weight': 'layers.#.attention.output.weight',
    'model.layers.#.post_attention_layernorm.weight': 'layers.#.mlpNorm.weight',
    'model.layers.#.mlp.gate_proj.weight': {
      path: 'layers.#.mlp.gateUp.weight',
      rows: ({ intermediateSize }) => [0, intermediateSize],
    },
    'model.layers.#.mlp.up_proj.weight': {
      path: 'layers.#.mlp.gateUp.weight',
      rows: ({ intermediateSize }) => [intermediateSize, 2 * intermediateSize],
    },
    'model.layers.#.mlp.down_proj.weight': 'layers.#.mlp.down.weight',
    'model.norm.weight': 'norm.weight',
    'lm_head.weight': 'head.weight',
  },
  buffers: ['model.layers.#.self_attn.rotary_emb.inv_freq'],
}
