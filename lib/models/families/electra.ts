import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { answerScores, bertWeights, olderNormNames, pair, tokenClassifier } from './bert-names.ts'
import { bertConstants, bertFixed, bertHarmless, bertKeys } from './bert.ts'
import type { Family } from './family.ts'

/** ELECTRA (Clark et al. 2020), generators and discriminators: BERT with embeddings of a width of their own. */
export const electra: Family<EncoderConfig, EncoderModel> = {
  modelType: 'electra',
  assembly: encoder,
  architectures: {
    ElectraForPreTraining: 'replaced-tokens',
    ElectraForMaskedLM: 'masked-lm',
    ElectraForSequenceClassification: 'sequence-classification',
    ElectraForTokenClassification: 'token-classification',
    ElectraForQuestionAnswering: 'question-answering',
    ElectraModel: 'none',
  },
  config: { ...bertKeys, embedding_size: { field: 'embeddingSize', kind: 'size', default: 128 } },
  fixed: { ...bertFixed, paddingToken: -1 },
  harmless: bertHarmless,
  constants: bertConstants,
  prefix: 'electra.',
  weights: bertWeights('electra.'),
  heads: {
    'replaced-tokens': {
      kind: { rows: 'each', dense: { activation: 'activation', norm: false }, output: 1 },
      weights: {
        ...pair('discriminator_predictions.dense', 'dense'),
        ...pair('discriminator_predictions.dense_prediction', 'output'),
      },
    },
    'masked-lm': {
      kind: { rows: 'each', dense: { activation: 'gelu', norm: true, width: 'embeddingSize' }, output: 'tied' },
      weights: {
        ...pair('generator_predictions.dense', 'dense'),
        ...pair('generator_predictions.LayerNorm', 'norm'),
        'generator_lm_head.bias': 'bias',
      },
    },
    'sequence-classification': {
      kind: { rows: 'first', dense: { activation: 'gelu', norm: false }, output: 'labels' },
      weights: { ...pair('classifier.dense', 'dense'), ...pair('classifier.out_proj', 'output') },
    },
    'token-classification': tokenClassifier('classifier'),
    'question-answering': answerScores('qa_outputs'),
  },
  ignored: ['embeddings.position_ids'],
  olderNames: olderNormNames,
  copies: { 'generator_lm_head.weight': 'electra.embeddings.word_embeddings.weight' },
}
