import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { answerScores, bertWeights, olderNormNames, pair, tokenClassifier } from './bert-names.ts'
import { bertConstants, bertFixed, bertHarmless, bertKeys } from './bert.ts'
import type { ConfigPart, Family, HeadSpec } from './family.ts'

/** The heads of RoBERTa and MPNet. */
export const robertaHeads = {
  'masked-lm': {
    kind: { rows: 'each', dense: { activation: 'gelu', norm: true }, output: 'tied' },
    weights: { ...pair('lm_head.dense', 'dense'), ...pair('lm_head.layer_norm', 'norm'), 'lm_head.bias': 'bias' },
  },
  'sequence-classification': {
    kind: { rows: 'first', dense: { activation: 'tanh', norm: false }, output: 'labels' },
    weights: { ...pair('classifier.dense', 'dense'), ...pair('classifier.out_proj', 'output') },
  },
  'token-classification': tokenClassifier('classifier'),
  'question-answering': answerScores('qa_outputs'),
} as const satisfies Record<string, HeadSpec>

/** The position embedding has rows for the padding, and for the ids before it. */
export const rowsOfPadding: ConfigPart<EncoderConfig> = {
  read: (_, { context, paddingToken }) => ({ context: context! - (paddingToken! + 1) }),
  write: ({ context, paddingToken }) => ({ max_position_embeddings: context + paddingToken + 1 }),
}

/** RoBERTa (Liu et al. 2019): BERT with positions that count tokens from the id of the padding on. */
export const roberta: Family<EncoderConfig, EncoderModel> = {
  modelType: 'roberta',
  assembly: encoder,
  architectures: {
    RobertaForMaskedLM: 'masked-lm',
    RobertaForSequenceClassification: 'sequence-classification',
    RobertaForTokenClassification: 'token-classification',
    RobertaForQuestionAnswering: 'question-answering',
    RobertaModel: 'none',
  },
  config: { ...bertKeys, pad_token_id: { field: 'paddingToken', kind: 'count', default: 1 } },
  parts: [rowsOfPadding],
  fixed: bertFixed,
  harmless: bertHarmless,
  constants: bertConstants,
  prefix: 'roberta.',
  weights: bertWeights('roberta.'),
  heads: robertaHeads,
  ignored: ['embeddings.position_ids', 'pooler.dense.weight', 'pooler.dense.bias'],
  olderNames: olderNormNames,
  copies: {
    'lm_head.decoder.weight': 'roberta.embeddings.word_embeddings.weight',
    'lm_head.decoder.bias': 'lm_head.bias',
  },
}

/** XLM-RoBERTa (Conneau et al. 2020): RoBERTa with another vocabulary. */
export const xlmRoberta: Family<EncoderConfig, EncoderModel> = {
  ...roberta,
  modelType: 'xlm-roberta',
  architectures: Object.fromEntries(
    Object.entries(roberta.architectures).map(([name, head]) => [name.replace('Roberta', 'XLMRoberta'), head]),
  ),
}
