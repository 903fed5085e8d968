import { decoder, type DecoderConfig, type DecoderModel } from '../decoder-model.ts'
import { lastTokenClassifier, type Family } from './family.ts'

/** GPT-2 (Radford et al. 2019). Its layers' weights are stored as [inputs, outputs]. */
export const gpt2: Family<DecoderConfig, DecoderModel> = {
  modelType: 'gpt2',
  assembly: decoder,
  architectures: {
    GPT2LMHeadModel: 'causal-lm',
    GPT2ForSequenceClassification: 'sequence-classification',
    GPT2Model: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    n_positions: { field: 'context', kind: 'size' },
    n_embd: { field: 'hiddenSize', kind: 'size' },
    n_layer: { field: 'numLayers', kind: 'size' },
    n_head: { field: 'numHeads', kind: 'size' },
    n_inner: { field: 'intermediateSize', kind: 'size', default: 'derived' },
    activation_function: { field: 'activation', kind: 'activation', default: 'gelu_new' },
    layer_norm_epsilon: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    resid_pdrop: { field: 'dropout', kind: 'number', default: 0.1, also: ['embd_pdrop'] },
    tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: true },
    heedful_bias: { field: 'bias', kind: 'flag', default: true, own: true },
  },
  fixed: { norm: 'layer', positions: 'learned', gated: false, joined: true, inputsFirst: true },
  harmless: {
    scale_attn_weights: true,
    scale_attn_by_inverse_layer_idx: false,
    add_cross_attention: false,
    quantization_config: undefined,
  },
  constants: { attn_pdrop: 0 },
  prefix: 'transformer.',
  weights: {
    'transformer.wte.weight': 'tokenEmbedding.weight',
    'transformer.wpe.weight': 'positionEmbedding.weight',
    'transformer.h.#.ln_1.weight': 'layers.#.attentionNorm.weight',
    'transformer.h.#.ln_1.bias': 'layers.#.attentionNorm.bias',
    'transformer.h.#.attn.c_attn.weight': 'layers.#.attention.qkv.weight',
    'transformer.h.#.attn.c_attn.bias': 'layers.#.attention.qkv.bias',
    'transformer.h.#.attn.c_proj.weight': 'layers.#.attention.output.weight',
    'transformer.h.#.attn.c_proj.bias': 'layers.#.attention.output.bias',
    'transformer.h.#.ln_2.weight': 'layers.#.mlpNorm.weight',
    'transformer.h.#.ln_2.bias': 'layers.#.mlpNorm.bias',
    'transformer.h.#.mlp.c_fc.weight': 'layers.#.mlp.up.weight',
    'transformer.h.#.mlp.c_fc.bias': 'layers.#.mlp.up.bias',
    'transformer.h.#.mlp.c_proj.weight': 'layers.#.mlp.down.weight',
    'transformer.h.#.mlp.c_proj.bias': 'layers.#.mlp.down.bias',
    'transformer.ln_f.weight': 'norm.weight',
    'transformer.ln_f.bias': 'norm.bias',
    'lm_head.weight': 'head.weight',
  },
  heads: { 'sequence-classification': lastTokenClassifier },
  // The causal mask.
  ignored: ['transformer.h.#.attn.bias', 'transformer.h.#.attn.masked_bias'],
  copies: { 'lm_head.weight': 'transformer.wte.weight' },
  zeroBiases: true,
}
