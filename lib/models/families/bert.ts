import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import type { Family } from './family.ts'

/** BERT (Devlin et al. 2019). */
export const bert: Family<EncoderConfig, EncoderModel> = {
  modelType: 'bert',
  assembly: encoder,
  architectures: {
    BertForMaskedLM: 'masked-lm',
    BertForSequenceClassification: 'sequence-classification',
    BertForTokenClassification: 'token-classification',
    BertForQuestionAnswering: 'question-answering',
    BertModel: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    max_position_embeddings: { field: 'context', kind: 'size' },
    hidden_size: { field: 'hiddenSize', kind: 'size' },
    num_hidden_layers: { field: 'numLayers', kind: 'size' },
    num_attention_heads: { field: 'numHeads', kind: 'size' },
    intermediate_size: { field: 'intermediateSize', kind: 'size' },
    hidden_act: { field: 'activation', kind: 'activation', default: 'gelu' },
    layer_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-12 },
    hidden_dropout_prob: { field: 'dropout', kind: 'number', default: 0.1 },
    type_vocab_size: { field: 'typeVocabSize', kind: 'count', default: 2 },
  },
  fixed: { norm: 'layer', gated: false, bias: true, joined: false, inputsFirst: false, firstPosition: 0 },
  harmless: {
    position_embedding_type: 'absolute',
    is_decoder: false,
    add_cross_attention: false,
    tie_word_embeddings: true,
    quantization_config: undefined,
  },
  constants: { attention_probs_dropout_prob: 0 },
  prefix: 'bert.',
  weights: {
    'bert.embeddings.word_embeddings.weight': 'tokenEmbedding.weight',
    'bert.embeddings.position_embeddings.weight': 'positionEmbedding.weight',
    'bert.embeddings.token_type_embeddings.weight': 'typeEmbedding.weight',
    'bert.embeddings.LayerNorm.weight': 'embeddingNorm.weight',
    'bert.embeddings.LayerNorm.bias': 'embeddingNorm.bias',
    'bert.encoder.layer.#.attention.self.query.weight': 'layers.#.attention.query.weight',
    'bert.encoder.layer.#.attention.self.query.bias': 'layers.#.attention.query.bias',
    'bert.encoder.layer.#.attention.self.key.weight': 'layers.#.attention.key.weight',
    'bert.encoder.layer.#.attention.self.key.bias': 'layers.#.attention.key.bias',
    'bert.encoder.layer.#.attention.self.value.weight': 'layers.#.attention.value.weight',
    'bert.encoder.layer.#.attention.self.value.bias': 'layers.#.attention.value.bias',
    'bert.encoder.layer.#.attention.output.dense.weight': 'layers.#.attention.output.weight',
    'bert.encoder.layer.#.attention.output.dense.bias': 'layers.#.attention.output.bias',
    'bert.encoder.layer.#.attention.output.LayerNorm.weight': 'layers.#.attentionNorm.weight',
    'bert.encoder.layer.#.attention.output.LayerNorm.bias': 'layers.#.attentionNorm.bias',
    'bert.encoder.layer.#.intermediate.dense.weight': 'layers.#.mlp.up.weight',
    'bert.encoder.layer.#.intermediate.dense.bias': 'layers.#.mlp.up.bias',
    'bert.encoder.layer.#.output.dense.weight': 'layers.#.mlp.down.weight',
    'bert.encoder.layer.#.output.dense.bias': 'layers.#.mlp.down.bias',
    'bert.encoder.layer.#.output.LayerNorm.weight': 'layers.#.mlpNorm.weight',
    'bert.encoder.layer.#.output.LayerNorm.bias': 'layers.#.mlpNorm.bias',
  },
  heads: {
    'masked-lm': {
      kind: { rows: 'each', dense: { activation: 'activation', norm: true }, output: 'tied' },
      weights: {
        'cls.predictions.transform.dense.weight': 'dense.weight',
        'cls.predictions.transform.dense.bias': 'dense.bias',
        'cls.predictions.transform.LayerNorm.weight': 'norm.weight',
        'cls.predictions.transform.LayerNorm.bias': 'norm.bias',
        'cls.predictions.bias': 'bias',
      },
    },
    'sequence-classification': {
      kind: { rows: 'first', dense: { activation: 'tanh', norm: false }, output: 'labels' },
      weights: {
        'bert.pooler.dense.weight': 'dense.weight',
        'bert.pooler.dense.bias': 'dense.bias',
        'classifier.weight': 'output.weight',
        'classifier.bias': 'output.bias',
      },
    },
    'token-classification': {
      kind: { rows: 'each', output: 'labels' },
      weights: { 'classifier.weight': 'output.weight', 'classifier.bias': 'output.bias' },
    },
    'question-answering': {
      kind: { rows: 'each', output: 2 },
      weights: { 'qa_outputs.weight': 'output.weight', 'qa_outputs.bias': 'output.bias' },
    },
  },
  // The pooler of heads that do not use it, and the head of next-sentence prediction.
  ignored: [
    'embeddings.position_ids',
    'pooler.dense.weight',
    'pooler.dense.bias',
    'cls.seq_relationship.weight',
    'cls.seq_relationship.bias',
  ],
  copies: {
    'cls.predictions.decoder.weight': 'bert.embeddings.word_embeddings.weight',
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
  },
}
