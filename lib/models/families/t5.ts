import { ArgumentError, describe } from '../../errors.ts'
import type { EncoderDecoderConfig } from '../encoder-decoder-config.ts'
import { encoderDecoder, type EncoderDecoderModel } from '../encoder-decoder-model.ts'
import { bartHeads } from './bart.ts'
import { tokenClassifier } from './bert-names.ts'
import { activationNames, type ConfigPart, type Family } from './family.ts'

const attention = (file: string, model: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries({ q: 'query', k: 'key', v: 'value', o: 'output' }).map(([inFile, inModel]) => [
      `${file}.${inFile}.weight`,
      `${model}.${inModel}.weight`,
    ]),
  )

function stack(name: 'encoder' | 'decoder', gated: boolean): Record<string, string> {
  const [file, model] = [`${name}.block.#.layer`, `${name}.layers.#`]
  const last = name === 'encoder' ? 1 : 2
  return {
    [`${name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`]: `${name}.relativeBias.weight`,
    ...attention(`${file}.0.SelfAttention`, `${model}.attention`),
    [`${file}.0.layer_norm.weight`]: `${model}.attentionNorm.weight`,
    ...(name === 'decoder' && {
      ...attention(`${file}.1.EncDecAttention`, `${model}.crossAttention`),
      [`${file}.1.layer_norm.weight`]: `${model}.crossAttentionNorm.weight`,
    }),
    ...(gated && { [`${file}.${last}.DenseReluDense.wi_0.weight`]: `${model}.mlp.gate.weight` }),
    [`${file}.${last}.DenseReluDense.${gated ? 'wi_1' : 'wi'}.weight`]: `${model}.mlp.up.weight`,
    [`${file}.${last}.DenseReluDense.wo.weight`]: `${model}.mlp.down.weight`,
    [`${file}.${last}.layer_norm.weight`]: `${model}.mlpNorm.weight`,
    [`${name}.final_layer_norm.weight`]: `${name}.norm.weight`,
  }
}

const feedForwards: Readonly<Record<string, Required<Pick<EncoderDecoderConfig, 'gated' | 'activation'>>>> = {
  relu: { gated: false, activation: 'relu' },
  'gated-gelu': { gated: true, activation: 'geluTanh' },
  'gated-silu': { gated: true, activation: 'silu' },
  'gated-relu': { gated: true, activation: 'relu' },
  gelu: { gated: false, activation: 'gelu' },
  gelu_new: { gated: false, activation: 'geluTanh' },
  silu: { gated: false, activation: 'silu' },
}

/** One word for both, and keys that repeat it. */
const feedForward: ConfigPart<EncoderDecoderConfig> = {
  read(json, _, where) {
    const { feed_forward_proj: word = 'relu', dense_act_fn: activation, is_gated_act: gated } = json
    if (typeof word !== 'string' || !Object.hasOwn(feedForwards, word))
      throw new ArgumentError(
        `${where}: feed_forward_proj ${describe(word)} is not supported; supported: ${Object.keys(feedForwards).join(', ')}`,
      )
    const said = feedForwards[word]!
    if ((gated ?? said.gated) !== said.gated)
      throw new ArgumentError(`${where}: is_gated_act ${describe(gated)} contradicts feed_forward_proj ${word}`)
    if (activationNames[String(activation ?? '')] !== said.activation && (activation ?? undefined) !== undefined)
      throw new ArgumentError(`${where}: dense_act_fn ${describe(activation)} contradicts feed_forward_proj ${word}`)
    return said
  },
  write({ gated, activation }) {
    const same = ([, said]: [string, (typeof feedForwards)[string]]): boolean =>
      said.gated === gated && said.activation === activation
    const word = Object.entries(feedForwards).find(same)?.[0] ?? describe(activation)
    const name = Object.keys(activationNames).find((known) => activationNames[known] === activation)
    return { feed_forward_proj: word, dense_act_fn: name, is_gated_act: gated }
  },
}

/** T5 (Raffel et al. 2020) with its versions 1.0 and 1.1, and Flan-T5 (Chung et al. 2022). */
export const t5: Family<EncoderDecoderConfig, EncoderDecoderModel> = {
  modelType: 't5',
  assembly: encoderDecoder,
  architectures: {
    T5ForConditionalGeneration: 'seq2seq-lm',
    T5WithLMHeadModel: 'seq2seq-lm',
    T5ForSequenceClassification: 'sequence-classification',
    T5ForTokenClassification: 'token-classification',
    T5ForQuestionAnswering: 'question-answering',
    T5EncoderModel: 'encoder',
    T5Model: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    d_model: { field: 'hiddenSize', kind: 'size' },
    d_kv: { field: 'headDim', kind: 'size', default: 64 },
    d_ff: { field: 'intermediateSize', kind: 'size' },
    num_layers: { field: 'numLayers', kind: 'size' },
    num_decoder_layers: { field: 'numDecoderLayers', kind: 'size', default: 'derived' },
    num_heads: { field: 'numHeads', kind: 'size' },
    relative_attention_num_buckets: { field: 'relativeBuckets', kind: 'size', default: 32 },
    relative_attention_max_distance: { field: 'relativeDistance', kind: 'size', default: 128 },
    dropout_rate: { field: 'dropout', kind: 'number', default: 0.1 },
    layer_norm_epsilon: { field: 'normEpsilon', kind: 'number', default: 1e-6 },
    tie_word_embeddings: { field: 'tieEmbeddings', kind: 'flag', default: true },
    scale_decoder_outputs: { field: 'scaleOutput', kind: 'flag', default: 'derived' },
    pad_token_id: { field: 'padToken', kind: 'id', default: 0 },
    decoder_start_token_id: { field: 'startToken', kind: 'id', default: 0 },
  },
  parts: [feedForward],
  fixed: {
    norm: 'rms',
    normPlacement: 'pre',
    finalNorm: true,
    embeddingNorm: false,
    positions: 'relative',
    scaleScores: false,
    scaleEmbedding: false,
    logitsBias: false,
    bias: false,
    joined: false,
    inputsFirst: false,
    learnsPadding: true,
  },
  harmless: { is_decoder: false, quantization_config: undefined },
  constants: { is_encoder_decoder: true },
  prefix: 'transformer.',
  weights: ({ gated }) => ({
    'shared.weight': 'tokenEmbedding.weight',
    ...stack('encoder', gated!),
    ...stack('decoder', gated!),
    'lm_head.weight': 'head.weight',
  }),
  heads: {
    ...bartHeads,
    'sequence-classification': { ...bartHeads['sequence-classification'], prefix: 'transformer.' },
    'token-classification': { ...tokenClassifier('classifier'), prefix: 'transformer.', encoderOnly: true },
  },
  // A bias that no version reads.
  ignored: ['decoder.block.#.layer.#.EncDecAttention.relative_attention_bias.weight'],
  copies: {
    'encoder.embed_tokens.weight': 'shared.weight',
    'decoder.embed_tokens.weight': 'shared.weight',
    'lm_head.weight': 'shared.weight',
  },
  untiedBy: 'lm_head.weight',
}
