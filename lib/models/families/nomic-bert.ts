import { ArgumentError, describe, FileError } from '../../errors.ts'
import { encoder, type EncoderConfig, type EncoderModel } from '../encoder-model.ts'
import { bertAttention, pair, tokenClassifier } from './bert-names.ts'
import { bertKeys } from './bert.ts'
import type { ConfigPart, Family } from './family.ts'

type Json = Readonly<Record<string, unknown>>

/** The base of rotary positions, in the three places where files have it. */
const rotary: ConfigPart<EncoderConfig> = {
  read(json, _, where) {
    const parameters = (json['rope_parameters'] ?? {}) as Json
    for (const key of ['rope_type', 'type'])
      if ((parameters[key] ?? 'default') !== 'default')
        throw new ArgumentError(
          `${where}: rope_parameters.${key} ${describe(parameters[key])} is not supported; supported: "default"`,
        )
    const theta = parameters['rope_theta'] ?? json['rope_theta'] ?? json['rotary_emb_base'] ?? 1000
    if (typeof theta !== 'number')
      throw new FileError(`${where}: rope_theta should be a number, got ${describe(theta)}`)
    return { ropeTheta: theta }
  },
  write: ({ ropeTheta }) => ({
    rope_parameters: { rope_type: 'default', rope_theta: ropeTheta },
    rotary_emb_base: ropeTheta,
  }),
}

/** Beyond what the model was trained with, rotary_scaling_factor stretches positions: sequences end there. */
const trainedContext: ConfigPart<EncoderConfig> = {
  read(json, { context }, where) {
    const { rotary_scaling_factor: factor, max_trained_positions: trained } = json
    if (factor === undefined || factor === null) return {}
    if (!Number.isSafeInteger(trained) || (trained as number) < 1)
      throw new FileError(
        `${where}: max_trained_positions should be a whole number beside rotary_scaling_factor, got ${describe(trained)}`,
      )
    return { context: Math.min(context!, trained as number) }
  },
  write: ({ context }) => ({ max_trained_positions: context }),
}

/** SwiGLU: the published files name it as the activation, those of transformers name the gate's. */
const gate: ConfigPart<EncoderConfig> = {
  read(json, _, where) {
    for (const [key, names] of Object.entries({
      activation_function: ['swiglu'],
      hidden_act: ['silu', 'swish', 'swiglu'],
    }))
      if (json[key] !== undefined && !names.includes(String(json[key])))
        throw new ArgumentError(
          `${where}: ${key} ${describe(json[key])} is not supported; supported: ${names.join(', ')}`,
        )
    return { activation: 'silu' }
  },
  write: () => ({ activation_function: 'swiglu', hidden_act: 'silu' }),
}

/**
 * NomicBERT (Nussbaum et al. 2024): BERT with rotary positions, SwiGLU, and no biases in its layers. Files with the keys of
 * the published checkpoints, and with those of transformers.
 */
export const nomicBert: Family<EncoderConfig, EncoderModel> = {
  modelType: 'nomic_bert',
  assembly: encoder,
  architectures: {
    NomicBertForMaskedLM: 'masked-lm',
    NomicBertForPreTraining: 'masked-lm',
    NomicBertForSequenceClassification: 'sequence-classification',
    NomicBertForTokenClassification: 'token-classification',
    NomicBertModel: 'none',
  },
  config: {
    vocab_size: { field: 'vocabSize', kind: 'size' },
    max_position_embeddings: { field: 'context', kind: 'size', also: ['n_positions'] },
    hidden_size: { field: 'hiddenSize', kind: 'size', also: ['n_embd'] },
    num_hidden_layers: { field: 'numLayers', kind: 'size', also: ['n_layer'] },
    num_attention_heads: { field: 'numHeads', kind: 'size', also: ['n_head'] },
    intermediate_size: { field: 'intermediateSize', kind: 'size', also: ['n_inner'] },
    layer_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-12, also: ['layer_norm_epsilon'] },
    hidden_dropout_prob: { field: 'dropout', kind: 'number', default: 0, also: ['resid_pdrop'] },
    type_vocab_size: { field: 'typeVocabSize', kind: 'count', default: 2 },
    head_dim: { field: 'headDim', kind: 'size', default: 'derived' },
  },
  parts: [rotary, trainedContext, gate],
  fixed: {
    norm: 'layer',
    bias: true,
    attentionBias: false,
    mlpBias: false,
    gated: true,
    joined: true,
    mlpJoined: false,
    inputsFirst: false,
    positions: 'rotary',
    paddingToken: -1,
  },
  harmless: {
    causal: false,
    prenorm: false,
    parallel_block: false,
    use_rms_norm: false,
    qkv_proj_bias: false,
    mlp_fc1_bias: false,
    mlp_fc2_bias: false,
    rotary_emb_fraction: 1,
    rotary_emb_interleaved: false,
    rotary_emb_scale_base: undefined,
    scale_attn_weights: true,
    scale_attn_by_inverse_layer_idx: false,
    tie_word_embeddings: true,
    quantization_config: undefined,
  },
  constants: { attention_probs_dropout_prob: 0, attn_pdrop: 0, embd_pdrop: 0, rotary_emb_fraction: 1 },
  prefix: 'nomic_bert.',
  weights: {
    'nomic_bert.embeddings.word_embeddings.weight': 'tokenEmbedding.weight',
    'nomic_bert.embeddings.token_type_embeddings.weight': 'typeEmbedding.weight',
    ...pair('nomic_bert.emb_ln', 'embeddingNorm'),
    'nomic_bert.encoder.layers.#.attn.Wqkv.weight': 'layers.#.attention.qkv.weight',
    'nomic_bert.encoder.layers.#.attn.out_proj.weight': 'layers.#.attention.output.weight',
    ...pair('nomic_bert.encoder.layers.#.norm1', 'layers.#.attentionNorm'),
    'nomic_bert.encoder.layers.#.mlp.fc11.weight': 'layers.#.mlp.up.weight',
    'nomic_bert.encoder.layers.#.mlp.fc12.weight': 'layers.#.mlp.gate.weight',
    'nomic_bert.encoder.layers.#.mlp.fc2.weight': 'layers.#.mlp.down.weight',
    ...pair('nomic_bert.encoder.layers.#.norm2', 'layers.#.mlpNorm'),
  },
  heads: {
    'masked-lm': {
      kind: { rows: 'each', dense: { activation: 'activation', norm: true }, output: 'tied' },
      weights: {
        ...pair('cls.predictions.transform.dense', 'dense'),
        ...pair('cls.predictions.transform.layer_norm', 'norm'),
        'cls.predictions.bias': 'bias',
      },
    },
    'sequence-classification': {
      kind: { rows: 'first', dense: { activation: 'tanh', norm: false }, output: 'labels' },
      weights: { ...pair('nomic_bert.pooler.dense', 'dense'), ...pair('classifier', 'output') },
    },
    'token-classification': tokenClassifier('classifier'),
  },
  ignored: ['pooler.dense.weight', 'pooler.dense.bias'],
  copies: {
    'cls.predictions.decoder.weight': 'nomic_bert.embeddings.word_embeddings.weight',
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
  },
}

const { hidden_act: _, ...keys } = bertKeys

/** NomicBERT as if it were BERT, with its names, and biases of attention: a layout that some converters write. */
export const nomicBertLikeBert: Family<EncoderConfig, EncoderModel> = {
  modelType: 'nomic_bert',
  variant: { key: 'position_embedding_type', value: 'rotary' },
  assembly: encoder,
  architectures: { NomicBertModel: 'none' },
  config: { ...keys, rope_theta: { field: 'ropeTheta', kind: 'number', default: 1e4 } },
  parts: [
    {
      read: gate.read,
      write: () => ({ hidden_act: 'swiglu' }),
    },
  ],
  fixed: {
    norm: 'layer',
    bias: true,
    mlpBias: false,
    gated: true,
    joined: false,
    inputsFirst: false,
    positions: 'rotary',
    paddingToken: -1,
  },
  harmless: { tie_word_embeddings: true, quantization_config: undefined },
  constants: { position_embedding_type: 'rotary', attention_probs_dropout_prob: 0 },
  prefix: 'bert.',
  weights: {
    ...bertAttention('bert.'),
    'bert.encoder.layer.#.mlp.gate.weight': 'layers.#.mlp.gate.weight',
    'bert.encoder.layer.#.mlp.up.weight': 'layers.#.mlp.up.weight',
    'bert.encoder.layer.#.mlp.down.weight': 'layers.#.mlp.down.weight',
    ...pair('bert.encoder.layer.#.mlp.LayerNorm', 'layers.#.mlpNorm'),
  },
}
