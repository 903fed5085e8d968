import { encoderDecoder, type EncoderDecoderModel } from '../encoder-decoder-model.ts'
import type { EncoderDecoderConfig } from '../encoder-decoder-config.ts'
import type { ConfigKey, Family, HeadName, HeadSpec } from './family.ts'

/** What BART, mBART and Marian call their sizes. */
export const bartKeys = {
  vocab_size: { field: 'vocabSize', kind: 'size' },
  d_model: { field: 'hiddenSize', kind: 'size' },
  encoder_layers: { field: 'numLayers', kind: 'size', also: ['num_hidden_layers'] },
  encoder_attention_heads: { field: 'numHeads', kind: 'size' },
  encoder_ffn_dim: { field: 'intermediateSize', kind: 'size' },
  decoder_layers: { field: 'numDecoderLayers', kind: 'size' },
  decoder_attention_heads: { field: 'numDecoderHeads', kind: 'size' },
  decoder_ffn_dim: { field: 'decoderIntermediateSize', kind: 'size' },
  max_position_embeddings: { field: 'context', kind: 'size', default: 1024 },
  activation_function: { field: 'activation', kind: 'activation', default: 'gelu' },
  dropout: { field: 'dropout', kind: 'number', default: 0.1 },
  scale_embedding: { field: 'scaleEmbedding', kind: 'flag', default: false },
  tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: true },
} as const satisfies Record<string, ConfigKey<EncoderDecoderConfig>>

/** What these models have in common. */
export const bartFixed = {
  norm: 'layer',
  normEpsilon: 1e-5,
  gated: false,
  bias: true,
  joined: false,
  inputsFirst: false,
  scaleScores: true,
  scaleOutput: false,
  logitsBias: true,
  learnsPadding: false,
} as const satisfies Partial<EncoderDecoderConfig>

export const bartConstants = {
  is_encoder_decoder: true,
  attention_dropout: 0,
  activation_dropout: 0,
}

const attention = (file: string, model: string): Record<string, string> => {
  const parts = { q_proj: 'query', k_proj: 'key', v_proj: 'value', out_proj: 'output' }
  return Object.fromEntries(
    Object.entries(parts).flatMap(([inFile, inModel]) => [
      [`${file}.${inFile}.weight`, `${model}.${inModel}.weight`],
      [`${file}.${inFile}.bias`, `${model}.${inModel}.bias`],
    ]),
  )
}
const pair = (file: string, model: string): Record<string, string> => ({
  [`${file}.weight`]: `${model}.weight`,
  [`${file}.bias`]: `${model}.bias`,
})
const layer = (file: string, model: string): Record<string, string> => ({
  ...attention(`${file}.self_attn`, `${model}.attention`),
  ...pair(`${file}.self_attn_layer_norm`, `${model}.attentionNorm`),
  ...attention(`${file}.encoder_attn`, `${model}.crossAttention`),
  ...pair(`${file}.encoder_attn_layer_norm`, `${model}.crossAttentionNorm`),
  ...pair(`${file}.fc1`, `${model}.mlp.up`),
  ...pair(`${file}.fc2`, `${model}.mlp.down`),
  ...pair(`${file}.final_layer_norm`, `${model}.mlpNorm`),
})
const stack = (name: 'encoder' | 'decoder'): Record<string, string> => ({
  [`model.${name}.embed_positions.weight`]: `${name}.positionEmbedding.weight`,
  ...pair(`model.${name}.layernorm_embedding`, `${name}.embeddingNorm`),
  ...layer(`model.${name}.layers.#`, `${name}.layers.#`),
  ...pair(`model.${name}.layer_norm`, `${name}.norm`),
})

export const bartWeights: Readonly<Record<string, string>> = {
  'model.shared.weight': 'tokenEmbedding.weight',
  ...stack('encoder'),
  ...stack('decoder'),
  'lm_head.weight': 'head.weight',
  final_logits_bias: 'logitsBias',
}

export const bartCopies = {
  'model.encoder.embed_tokens.weight': 'model.shared.weight',
  'model.decoder.embed_tokens.weight': 'model.shared.weight',
  'lm_head.weight': 'model.shared.weight',
}

/** What reads a whole text. */
export const bartHeads = {
  'sequence-classification': {
    kind: { rows: 'last', dense: { activation: 'tanh', norm: false }, output: 'labels' },
    weights: { ...pair('classification_head.dense', 'dense'), ...pair('classification_head.out_proj', 'output') },
  },
  'question-answering': { kind: { rows: 'each', output: 2 }, weights: pair('qa_outputs', 'output') },
} as const satisfies Partial<Record<HeadName, HeadSpec>>

/** BART (Lewis et al. 2020). */
export const bart: Family<EncoderDecoderConfig, EncoderDecoderModel> = {
  modelType: 'bart',
  assembly: encoderDecoder,
  architectures: {
    BartForConditionalGeneration: 'seq2seq-lm',
    BartForSequenceClassification: 'sequence-classification',
    BartForQuestionAnswering: 'question-answering',
    BartModel: 'none',
  },
  config: {
    ...bartKeys,
    pad_token_id: { field: 'padToken', kind: 'id', default: 1 },
    decoder_start_token_id: { field: 'startToken', kind: 'id', default: 2 },
  },
  fixed: {
    ...bartFixed,
    normPlacement: 'post',
    embeddingNorm: true,
    finalNorm: false,
    positions: 'learned',
    firstPosition: 2,
  },
  harmless: {
    is_decoder: false,
    normalize_before: false,
    add_final_layer_norm: false,
    normalize_embedding: true,
    static_position_embeddings: false,
    extra_pos_embeddings: 2,
    quantization_config: undefined,
  },
  constants: bartConstants,
  prefix: 'model.',
  weights: bartWeights,
  heads: bartHeads,
  copies: bartCopies,
}
