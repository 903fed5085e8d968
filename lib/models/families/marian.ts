import type { EncoderDecoderConfig } from '../encoder-decoder-config.ts'
import { encoderDecoder, type EncoderDecoderModel } from '../encoder-decoder-model.ts'
import { bartConstants, bartFixed, bartKeys, bartWeights } from './bart.ts'
import type { Family } from './family.ts'

const { 'model.shared.weight': _, 'lm_head.weight': head, ...stacks } = bartWeights

/** Marian (Junczys-Dowmunt et al. 2018), as the translation models of OPUS-MT are. */
export const marian: Family<EncoderDecoderConfig, EncoderDecoderModel> = {
  modelType: 'marian',
  assembly: encoderDecoder,
  architectures: {
    MarianMTModel: 'seq2seq-lm',
    MarianModel: 'none',
  },
  config: {
    ...bartKeys,
    decoder_vocab_size: { field: 'decoderVocabSize', kind: 'size', default: 'derived' },
    share_encoder_decoder_embeddings: { field: 'shareEmbeddings', kind: 'flag', default: true },
    pad_token_id: { field: 'padToken', kind: 'id', default: 58100 },
    decoder_start_token_id: { field: 'startToken', kind: 'id', default: 58100 },
  },
  fixed: { ...bartFixed, normPlacement: 'post', embeddingNorm: false, finalNorm: false, positions: 'sinusoidal' },
  harmless: {
    is_decoder: false,
    normalize_before: false,
    add_final_layer_norm: false,
    normalize_embedding: false,
    static_position_embeddings: true,
    quantization_config: undefined,
  },
  constants: { ...bartConstants, static_position_embeddings: true },
  prefix: 'model.',
  weights: ({ shareEmbeddings }) => ({
    [shareEmbeddings ? 'model.shared.weight' : 'model.encoder.embed_tokens.weight']: 'tokenEmbedding.weight',
    'model.decoder.embed_tokens.weight': 'decoderTokenEmbedding.weight',
    ...stacks,
    'lm_head.weight': head!,
  }),
  // Sines and cosines are computed.
  ignored: ['model.encoder.embed_positions.weight', 'model.decoder.embed_positions.weight'],
  copies: {
    'model.encoder.embed_tokens.weight': 'model.shared.weight',
    'model.decoder.embed_tokens.weight': 'model.shared.weight',
    'lm_head.weight': 'model.shared.weight',
  },
}
