import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { answerScores, olderNormNames, pair, tokenClassifier } from './bert-names.ts'
import { bertFixed } from './bert.ts'
import type { Family } from './family.ts'

/** DistilBERT (Sanh et al. 2019): BERT without segments and pooler. */
export const distilbert: Family<EncoderConfig, EncoderModel> = {
  modelType: 'distilbert',
  assembly: encoder,
  architectures: {
    DistilBertForMaskedLM: 'masked-lm',
    DistilBertForSequenceClassification: 'sequence-classification',
    DistilBertForTokenClassification: 'token-classification',
    DistilBertForQuestionAnswering: 'question-answering',
    DistilBertModel: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    max_position_embeddings: { field: 'context', kind: 'size' },
    dim: { field: 'hiddenSize', kind: 'size', also: ['hidden_size'] },
    n_layers: { field: 'numLayers', kind: 'size', also: ['num_hidden_layers'] },
    n_heads: { field: 'numHeads', kind: 'size', also: ['num_attention_heads'] },
    hidden_dim: { field: 'intermediateSize', kind: 'size' },
    activation: { field: 'activation', kind: 'activation', default: 'gelu' },
    dropout: { field: 'dropout', kind: 'number', default: 0.1 },
  },
  fixed: { ...bertFixed, typeVocabSize: 0, paddingToken: -1, normEpsilon: 1e-12 },
  harmless: { tie_word_embeddings: true, quantization_config: undefined },
  constants: { attention_dropout: 0 },
  prefix: 'distilbert.',
  weights: {
    'distilbert.embeddings.word_embeddings.weight': 'tokenEmbedding.weight',
    'distilbert.embeddings.position_embeddings.weight': 'positionEmbedding.weight',
    ...pair('distilbert.embeddings.LayerNorm', 'embeddingNorm'),
    ...pair('distilbert.transformer.layer.#.attention.q_lin', 'layers.#.attention.query'),
    ...pair('distilbert.transformer.layer.#.attention.k_lin', 'layers.#.attention.key'),
    ...pair('distilbert.transformer.layer.#.attention.v_lin', 'layers.#.attention.value'),
    ...pair('distilbert.transformer.layer.#.attention.out_lin', 'layers.#.attention.output'),
    ...pair('distilbert.transformer.layer.#.sa_layer_norm', 'layers.#.attentionNorm'),
    ...pair('distilbert.transformer.layer.#.ffn.lin1', 'layers.#.mlp.up'),
    ...pair('distilbert.transformer.layer.#.ffn.lin2', 'layers.#.mlp.down'),
    ...pair('distilbert.transformer.layer.#.output_layer_norm', 'layers.#.mlpNorm'),
  },
  heads: {
    'masked-lm': {
      kind: { rows: 'each', dense: { activation: 'activation', norm: true }, output: 'tied' },
      weights: {
        ...pair('vocab_transform', 'dense'),
        ...pair('vocab_layer_norm', 'norm'),
        'vocab_projector.bias': 'bias',
      },
    },
    'sequence-classification': {
      kind: { rows: 'first', dense: { activation: 'relu', norm: false }, output: 'labels' },
      weights: { ...pair('pre_classifier', 'dense'), ...pair('classifier', 'output') },
    },
    'token-classification': tokenClassifier('classifier'),
    'question-answering': answerScores('qa_outputs'),
  },
  ignored: ['embeddings.position_ids'],
  olderNames: olderNormNames,
  copies: { 'vocab_projector.weight': 'distilbert.embeddings.word_embeddings.weight' },
}
