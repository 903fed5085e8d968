import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { answerScores, bertWeights, olderNormNames, pair, tokenClassifier } from './bert-names.ts'
import type { Family } from './family.ts'

/** What BERT and most of its relatives call their sizes. */
export const bertKeys = {
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
} as const satisfies Family<EncoderConfig>['config']

/** What they have in common. */
export const bertFixed = {
  norm: 'layer',
  gated: false,
  bias: true,
  joined: false,
  inputsFirst: false,
} as const satisfies Partial<EncoderConfig>

export const bertHarmless = {
  position_embedding_type: 'absolute',
  is_decoder: false,
  add_cross_attention: false,
  tie_word_embeddings: true,
  quantization_config: undefined,
}
export const bertConstants = { attention_probs_dropout_prob: 0 }

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
  config: bertKeys,
  fixed: { ...bertFixed, paddingToken: -1 },
  harmless: bertHarmless,
  constants: bertConstants,
  prefix: 'bert.',
  weights: bertWeights('bert.'),
  heads: {
    'masked-lm': {
      kind: { rows: 'each', dense: { activation: 'activation', norm: true }, output: 'tied' },
      weights: {
        ...pair('cls.predictions.transform.dense', 'dense'),
        ...pair('cls.predictions.transform.LayerNorm', 'norm'),
        'cls.predictions.bias': 'bias',
      },
    },
    'sequence-classification': {
      kind: { rows: 'first', dense: { activation: 'tanh', norm: false }, output: 'labels' },
      weights: {
        ...pair('bert.pooler.dense', 'dense'),
        ...pair('classifier', 'output'),
      },
    },
    'token-classification': tokenClassifier('classifier'),
    'question-answering': answerScores('qa_outputs'),
  },
  // The pooler of heads that do not use it, and the head of next-sentence prediction.
  ignored: [
    'embeddings.position_ids',
    'pooler.dense.weight',
    'pooler.dense.bias',
    'cls.seq_relationship.weight',
    'cls.seq_relationship.bias',
  ],
  olderNames: olderNormNames,
  copies: {
    'cls.predictions.decoder.weight': 'bert.embeddings.word_embeddings.weight',
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
  },
}
