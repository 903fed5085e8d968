import { ArgumentError, describe, FileError } from '../../errors.ts'
import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { pair } from './bert-names.ts'
import type { ConfigPart, Family, HeadSpec } from './family.ts'
import { rotaryPositions } from './rope-keys.ts'
import { layerTypes } from './window-keys.ts'

/** Which layers see a window only: layer_types, or in older files every layer but each global_attn_every_n_layers-th. */
const windows: ConfigPart<EncoderConfig> = {
  read(json, { numLayers }, where) {
    const every = json['global_attn_every_n_layers'] ?? 3
    if (!Number.isSafeInteger(every) || (every as number) < 1)
      throw new FileError(`${where}: global_attn_every_n_layers should be a whole number, got ${describe(every)}`)
    const windowLayers =
      layerTypes(json, numLayers!, where) ?? Array.from({ length: numLayers! }, (_, i) => i % (every as number) !== 0)
    return { windowLayers }
  },
  write: ({ windowLayers }) => ({
    layer_types: windowLayers.map((has) => (has ? 'sliding_attention' : 'full_attention')),
  }),
}

const rope = rotaryPositions({
  theta: 160_000,
  thetaKey: 'global_rope_theta',
  local: { key: 'local_rope_theta', default: 1e4 },
  types: ['none'],
})
const rotary: ConfigPart<EncoderConfig> = {
  read(json, fields, where) {
    const { ropeTheta, localRopeTheta } = rope.read(json, fields as never, where)
    return { ropeTheta: ropeTheta!, localRopeTheta: localRopeTheta! }
  },
  write: (config) => rope.write({ ...config, ropeScaling: { type: 'none' }, ropeDim: config.headDim } as never),
}

const poolings = { cls: 'first', mean: 'mean' } as const
const classifierPooling: ConfigPart<EncoderConfig> = {
  read(json, _, where) {
    const word = json['classifier_pooling'] ?? 'cls'
    if (word !== 'cls' && word !== 'mean')
      throw new ArgumentError(
        `${where}: classifier_pooling ${describe(word)} is not supported; supported: ${Object.keys(poolings).join(', ')}`,
      )
    return { headPooling: poolings[word] }
  },
  write: ({ headPooling }) => ({ classifier_pooling: headPooling === 'mean' ? 'mean' : 'cls' }),
}

const dense = { activation: 'headActivation', norm: true } as const
const classifier = (rows: HeadSpec['kind']['rows'], output: HeadSpec['kind']['output']): HeadSpec => ({
  kind: { rows, dense, output },
  weights: { ...pair('head.dense', 'dense'), ...pair('head.norm', 'norm'), ...pair('classifier', 'output') },
})

/**
 * ModernBERT (Warner et al. 2024): rotary positions, local attention in most layers, GeGLU, norms before each part, and
 * none of the biases that a configuration does not ask for.
 */
export const modernBert: Family<EncoderConfig, EncoderModel> = {
  modelType: 'modernbert',
  assembly: encoder,
  architectures: {
    ModernBertForMaskedLM: 'masked-lm',
    ModernBertForSequenceClassification: 'sequence-classification',
    ModernBertForTokenClassification: 'token-classification',
    ModernBertForQuestionAnswering: 'question-answering',
    ModernBertModel: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    max_position_embeddings: { field: 'context', kind: 'size' },
    hidden_size: { field: 'hiddenSize', kind: 'size' },
    num_hidden_layers: { field: 'numLayers', kind: 'size' },
    num_attention_heads: { field: 'numHeads', kind: 'size' },
    intermediate_size: { field: 'intermediateSize', kind: 'size' },
    hidden_activation: { field: 'activation', kind: 'activation', default: 'gelu' },
    norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    norm_bias: { field: 'bias', kind: 'flag', default: false },
    attention_bias: { field: 'attentionBias', kind: 'flag', default: false },
    mlp_bias: { field: 'mlpBias', kind: 'flag', default: false },
    mlp_dropout: { field: 'dropout', kind: 'number', default: 0 },
    local_attention: { field: 'window', kind: 'size', default: 128 },
    classifier_bias: { field: 'headBias', kind: 'flag', default: false },
    classifier_activation: { field: 'headActivation', kind: 'activation', default: 'gelu' },
  },
  parts: [windows, rotary, classifierPooling],
  fixed: {
    norm: 'layer',
    gated: true,
    joined: true,
    inputsFirst: false,
    normPlacement: 'pre',
    positions: 'rotary',
    typeVocabSize: 0,
    paddingToken: -1,
  },
  harmless: { decoder_bias: true, tie_word_embeddings: true, quantization_config: undefined },
  constants: { attention_dropout: 0, embedding_dropout: 0, decoder_bias: true },
  prefix: 'model.',
  weights: {
    'model.embeddings.tok_embeddings.weight': 'tokenEmbedding.weight',
    ...pair('model.embeddings.norm', 'embeddingNorm'),
    ...pair('model.layers.#.attn_norm', 'layers.#.attentionNorm'),
    ...pair('model.layers.#.attn.Wqkv', 'layers.#.attention.qkv'),
    ...pair('model.layers.#.attn.Wo', 'layers.#.attention.output'),
    ...pair('model.layers.#.mlp_norm', 'layers.#.mlpNorm'),
    ...pair('model.layers.#.mlp.Wi', 'layers.#.mlp.gateUp'),
    ...pair('model.layers.#.mlp.Wo', 'layers.#.mlp.down'),
    ...pair('model.final_norm', 'norm'),
  },
  heads: {
    'masked-lm': {
      kind: { rows: 'each', dense, output: 'tied' },
      weights: { ...pair('head.dense', 'dense'), ...pair('head.norm', 'norm'), 'decoder.bias': 'bias' },
    },
    'sequence-classification': classifier('headPooling', 'labels'),
    'token-classification': classifier('each', 'labels'),
    'question-answering': classifier('each', 2),
  },
  copies: { 'decoder.weight': 'model.embeddings.tok_embeddings.weight' },
}
