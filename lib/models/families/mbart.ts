import type { EncoderDecoderConfig } from '../encoder-decoder-config.ts'
import { encoderDecoder, type EncoderDecoderModel } from '../encoder-decoder-model.ts'
import { bartConstants, bartCopies, bartFixed, bartHeads, bartKeys, bartWeights } from './bart.ts'
import type { Family } from './family.ts'

/** mBART and mBART-50 (Liu et al. 2020; Tang et al. 2020): BART with norms before each part. Targets begin with their language. */
export const mbart: Family<EncoderDecoderConfig, EncoderDecoderModel> = {
  modelType: 'mbart',
  assembly: encoderDecoder,
  architectures: {
    MBartForConditionalGeneration: 'seq2seq-lm',
    MBartForSequenceClassification: 'sequence-classification',
    MBartForQuestionAnswering: 'question-answering',
    MBartModel: 'none',
  },
  config: {
    ...bartKeys,
    pad_token_id: { field: 'padToken', kind: 'id', default: 1 },
  },
  fixed: {
    ...bartFixed,
    normPlacement: 'pre',
    embeddingNorm: true,
    finalNorm: true,
    positions: 'learned',
    firstPosition: 2,
    startToken: -1,
  },
  harmless: {
    is_decoder: false,
    normalize_before: true,
    add_final_layer_norm: true,
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
