import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { olderNormNames, pair } from './bert-names.ts'
import { bertConstants, bertFixed, bertHarmless, bertKeys } from './bert.ts'
import type { Family } from './family.ts'
import { robertaHeads, rowsOfPadding } from './roberta.ts'

const { type_vocab_size: _, ...keys } = bertKeys

/** MPNet (Song et al. 2020): RoBERTa without segments, and with relative positions beside the learned ones. */
export const mpnet: Family<EncoderConfig, EncoderModel> = {
  modelType: 'mpnet',
  assembly: encoder,
  architectures: {
    MPNetForMaskedLM: 'masked-lm',
    MPNetForSequenceClassification: 'sequence-classification',
    MPNetForTokenClassification: 'token-classification',
    MPNetForQuestionAnswering: 'question-answering',
    MPNetModel: 'none',
  },
  config: { ...keys, relative_attention_num_buckets: { field: 'relativeBuckets', kind: 'size', default: 32 } },
  parts: [rowsOfPadding],
  // Whatever pad_token_id says.
  fixed: { ...bertFixed, typeVocabSize: 0, paddingToken: 1 },
  // The buckets of transformers are 32, whatever the key says.
  harmless: { ...bertHarmless, relative_attention_num_buckets: 32 },
  constants: bertConstants,
  prefix: 'mpnet.',
  weights: {
    'mpnet.embeddings.word_embeddings.weight': 'tokenEmbedding.weight',
    'mpnet.embeddings.position_embeddings.weight': 'positionEmbedding.weight',
    ...pair('mpnet.embeddings.LayerNorm', 'embeddingNorm'),
    'mpnet.encoder.relative_attention_bias.weight': 'relativeBias.weight',
    ...pair('mpnet.encoder.layer.#.attention.attn.q', 'layers.#.attention.query'),
    ...pair('mpnet.encoder.layer.#.attention.attn.k', 'layers.#.attention.key'),
    ...pair('mpnet.encoder.layer.#.attention.attn.v', 'layers.#.attention.value'),
    ...pair('mpnet.encoder.layer.#.attention.attn.o', 'layers.#.attention.output'),
    ...pair('mpnet.encoder.layer.#.attention.LayerNorm', 'layers.#.attentionNorm'),
    ...pair('mpnet.encoder.layer.#.intermediate.dense', 'layers.#.mlp.up'),
    ...pair('mpnet.encoder.layer.#.output.dense', 'layers.#.mlp.down'),
    ...pair('mpnet.encoder.layer.#.output.LayerNorm', 'layers.#.mlpNorm'),
  },
  heads: robertaHeads,
  ignored: ['embeddings.position_ids', 'pooler.dense.weight', 'pooler.dense.bias'],
  olderNames: olderNormNames,
  copies: {
    'lm_head.decoder.weight': 'mpnet.embeddings.word_embeddings.weight',
    'lm_head.decoder.bias': 'lm_head.bias',
  },
}
