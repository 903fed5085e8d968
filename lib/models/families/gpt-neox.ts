import { decoder, type DecoderConfig, type DecoderModel } from '../decoder-model.ts'
import { lastTokenClassifier, tokenHeads, type Family } from './family.ts'
import { rotaryPositions } from './rope-keys.ts'

/** GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023): both parts of a layer read the same, and heads turn partly. */
export const gptNeox: Family<DecoderConfig, DecoderModel> = {
  modelType: 'gpt_neox',
  assembly: decoder,
  architectures: {
    GPTNeoXForCausalLM: 'causal-lm',
    GPTNeoXForSequenceClassification: 'sequence-classification',
    GPTNeoXForTokenClassification: 'token-classification',
    GPTNeoXForQuestionAnswering: 'question-answering',
    GPTNeoXModel: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    max_position_embeddings: { field: 'context', kind: 'size', default: 2048 },
    hidden_size: { field: 'hiddenSize', kind: 'size' },
    intermediate_size: { field: 'intermediateSize', kind: 'size' },
    num_hidden_layers: { field: 'numLayers', kind: 'size' },
    num_attention_heads: { field: 'numHeads', kind: 'size' },
    hidden_act: { field: 'activation', kind: 'activation', default: 'gelu' },
    layer_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    hidden_dropout: { field: 'dropout', kind: 'number', default: 0 },
    use_parallel_residual: { field: 'parallel', kind: 'flag', default: true },
    attention_bias: { field: 'qkvBias', kind: 'flag', default: true },
    tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: false },
  },
  parts: [rotaryPositions({ thetaKey: 'rotary_emb_base', share: { key: 'rotary_pct', default: 0.25 } })],
  fixed: {
    norm: 'layer',
    positions: 'rotary',
    gated: false,
    bias: true,
    joined: true,
    qkvByHead: true,
    inputsFirst: false,
  },
  harmless: { is_decoder: false, quantization_config: undefined },
  constants: { attention_dropout: 0 },
  prefix: 'gpt_neox.',
  weights: {
    'gpt_neox.embed_in.weight': 'tokenEmbedding.weight',
    'gpt_neox.layers.#.input_layernorm.weight': 'layers.#.attentionNorm.weight',
    'gpt_neox.layers.#.input_layernorm.bias': 'layers.#.attentionNorm.bias',
    'gpt_neox.layers.#.attention.query_key_value.weight': 'layers.#.attention.qkv.weight',
    'gpt_neox.layers.#.attention.query_key_value.bias': 'layers.#.attention.qkv.bias',
    'gpt_neox.layers.#.attention.dense.weight': 'layers.#.attention.output.weight',
    'gpt_neox.layers.#.attention.dense.bias': 'layers.#.attention.output.bias',
    'gpt_neox.layers.#.post_attention_layernorm.weight': 'layers.#.mlpNorm.weight',
    'gpt_neox.layers.#.post_attention_layernorm.bias': 'layers.#.mlpNorm.bias',
    'gpt_neox.layers.#.mlp.dense_h_to_4h.weight': 'layers.#.mlp.up.weight',
    'gpt_neox.layers.#.mlp.dense_h_to_4h.bias': 'layers.#.mlp.up.bias',
    'gpt_neox.layers.#.mlp.dense_4h_to_h.weight': 'layers.#.mlp.down.weight',
    'gpt_neox.layers.#.mlp.dense_4h_to_h.bias': 'layers.#.mlp.down.bias',
    'gpt_neox.final_layer_norm.weight': 'norm.weight',
    'gpt_neox.final_layer_norm.bias': 'norm.bias',
    'embed_out.weight': 'head.weight',
  },
  heads: { 'sequence-classification': lastTokenClassifier, ...tokenHeads('classifier') },
  // The causal mask and the table of rotary positions.
  ignored: [
    'gpt_neox.layers.#.attention.bias',
    'gpt_neox.layers.#.attention.masked_bias',
    'gpt_neox.layers.#.attention.rotary_emb.inv_freq',
  ],
  copies: { 'embed_out.weight': 'gpt_neox.embed_in.weight' },
}
