import { ArgumentError, describe } from '../../errors.ts'
import {
  activationFrom,
  activationTo,
  defined,
  optionalNumber,
  refuseUnless,
  requireNumber,
  type DecoderFamily,
  type HuggingFaceConfig,
  type WeightName,
} from './family.ts'

/** The plain rotary embedding's base; scalings are refused by name. */
function ropeTheta(config: HuggingFaceConfig): number | undefined {
  const parameters = (config['rope_parameters'] ?? config['rope_scaling'] ?? {}) as HuggingFaceConfig
  const type = parameters['rope_type'] ?? parameters['type'] ?? 'default'
  if (type !== 'default')
    throw new ArgumentError(`llama: rope_type ${describe(type)} is not supported; supported: "default"`)
  return optionalNumber('llama', { ...config, ...parameters }, 'rope_theta')
}

/** Llama (Touvron et al. 2023): RMS norms, rotary positions, grouped queries, SwiGLU, no biases. */
export const llama: DecoderFamily = {
  modelType: 'llama',
  architecture: 'LlamaForCausalLM',

  fromHuggingFace(config) {
    refuseUnless('llama', config, 'attention_bias', [false])
    refuseUnless('llama', config, 'mlp_bias', [false])
    refuseUnless('llama', config, 'pretraining_tp', [1])
    return defined({
      vocabSize: requireNumber('llama', config, 'vocab_size'),
      hiddenSize: requireNumber('llama', config, 'hidden_size'),
      numLayers: requireNumber('llama', config, 'num_hidden_layers'),
      numHeads: requireNumber('llama', config, 'num_attention_heads'),
      numKeyValueHeads: optionalNumber('llama', config, 'num_key_value_heads'),
      headDim: optionalNumber('llama', config, 'head_dim'),
      intermediateSize: requireNumber('llama', config, 'intermediate_size'),
      context: requireNumber('llama', config, 'max_position_embeddings'),
      norm: 'rms',
      normEpsilon: optionalNumber('llama', config, 'rms_norm_eps') ?? 1e-6,
      activation: activationFrom('llama', 'hidden_act', config['hidden_act'] ?? 'silu'),
      gated: true,
      positions: 'rotary',
      ropeTheta: ropeTheta(config),
      bias: false,
      tieEmbeddings: config['tie_word_embeddings'] === true,
    })
  },

  toHuggingFace: (config) => ({
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.context,
    rms_norm_eps: config.normEpsilon,
    hidden_act: activationTo(config.activation),
    rope_theta: config.ropeTheta,
    tie_word_embeddings: config.tieEmbeddings,
    attention_bias: false,
    mlp_bias: false,
  }),

  weightNames({ numLayers, numHeads, numKeyValueHeads, headDim, intermediateSize, tieEmbeddings }) {
    const q = numHeads * headDim
    const kv = numKeyValueHeads * headDim
    const names: WeightName[] = [{ name: 'model.embed_tokens.weight', path: 'tokenEmbedding.weight' }]
    for (let i = 0; i < numLayers; i++) {
      const qkv = `layers.${i}.attention.qkv.weight`
      const gateUp = `layers.${i}.mlp.gateUp.weight`
      names.push(
        { name: `model.layers.${i}.self_attn.q_proj.weight`, path: qkv, rows: [0, q] },
        { name: `model.layers.${i}.self_attn.k_proj.weight`, path: qkv, rows: [q, q + kv] },
        { name: `model.layers.${i}.self_attn.v_proj.weight`, path: qkv, rows: [q + kv, q + 2 * kv] },
        { name: `model.layers.${i}.self_attn.o_proj.weight`, path: `layers.${i}.attention.output.weight` },
        { name: `model.layers.${i}.mlp.gate_proj.weight`, path: gateUp, rows: [0, intermediateSize] },
        { name: `model.layers.${i}.mlp.up_proj.weight`, path: gateUp, rows: [intermediateSize, 2 * intermediateSize] },
        { name: `model.layers.${i}.mlp.down_proj.weight`, path: `layers.${i}.mlp.down.weight` },
        { name: `model.layers.${i}.input_layernorm.weight`, path: `layers.${i}.attentionNorm.weight` },
        { name: `model.layers.${i}.post_attention_layernorm.weight`, path: `layers.${i}.mlpNorm.weight` },
      )
    }
    names.push({ name: 'model.norm.weight', path: 'norm.weight' })
    if (!tieEmbeddings) names.push({ name: 'lm_head.weight', path: 'head.weight' })
    return names
  },
}
