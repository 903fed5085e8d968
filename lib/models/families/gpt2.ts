import {
  activationFrom,
  activationTo,
  defined,
  optionalNumber,
  refuseUnless,
  requireNumber,
  type DecoderFamily,
  type WeightName,
} from './family.ts'

/**
 * GPT-2 (Radford et al. 2019). Its linear layers are stored [in, out]. A model without biases is written with zeros in
 * their place, which mean the same to every reader, and `heedful_bias: false`, so that it comes back as it was.
 */
export const gpt2: DecoderFamily = {
  modelType: 'gpt2',
  architecture: 'GPT2LMHeadModel',
  optionalPrefix: 'transformer.',

  fromHuggingFace(config) {
    refuseUnless('gpt2', config, 'scale_attn_by_inverse_layer_idx', [false])
    refuseUnless('gpt2', config, 'scale_attn_weights', [true])
    refuseUnless('gpt2', config, 'add_cross_attention', [false])
    return defined({
      vocabSize: requireNumber('gpt2', config, 'vocab_size'),
      hiddenSize: requireNumber('gpt2', config, 'n_embd'),
      numLayers: requireNumber('gpt2', config, 'n_layer'),
      numHeads: requireNumber('gpt2', config, 'n_head'),
      context: requireNumber('gpt2', config, 'n_positions'),
      intermediateSize: optionalNumber('gpt2', config, 'n_inner'),
      normEpsilon: optionalNumber('gpt2', config, 'layer_norm_epsilon'),
      activation: activationFrom('gpt2', 'activation_function', config['activation_function'] ?? 'gelu_new'),
      bias: config['heedful_bias'] !== false,
      tieEmbeddings: config['tie_word_embeddings'] !== false,
      dropout: optionalNumber('gpt2', config, 'resid_pdrop'),
    })
  },

  toHuggingFace: (config) => ({
    vocab_size: config.vocabSize,
    n_embd: config.hiddenSize,
    n_layer: config.numLayers,
    n_head: config.numHeads,
    n_positions: config.context,
    n_inner: config.intermediateSize,
    layer_norm_epsilon: config.normEpsilon,
    activation_function: activationTo(config.activation),
    attn_pdrop: 0,
    embd_pdrop: config.dropout,
    resid_pdrop: config.dropout,
    tie_word_embeddings: config.tieEmbeddings,
    ...(!config.bias && { heedful_bias: false }),
  }),

  weightNames(config) {
    const names: WeightName[] = [
      { name: 'transformer.wte.weight', path: 'tokenEmbedding.weight' },
      { name: 'transformer.wpe.weight', path: 'positionEmbedding.weight' },
    ]
    const withBias = (name: string, path: string, transpose: boolean): void => {
      names.push(
        { name: `${name}.weight`, path: `${path}.weight`, transpose },
        { name: `${name}.bias`, path: `${path}.bias` },
      )
    }
    for (let i = 0; i < config.numLayers; i++) {
      withBias(`transformer.h.${i}.ln_1`, `layers.${i}.attentionNorm`, false)
      withBias(`transformer.h.${i}.attn.c_attn`, `layers.${i}.attention.qkv`, true)
      withBias(`transformer.h.${i}.attn.c_proj`, `layers.${i}.attention.output`, true)
      withBias(`transformer.h.${i}.ln_2`, `layers.${i}.mlpNorm`, false)
      withBias(`transformer.h.${i}.mlp.c_fc`, `layers.${i}.mlp.up`, true)
      withBias(`transformer.h.${i}.mlp.c_proj`, `layers.${i}.mlp.down`, true)
    }
    withBias('transformer.ln_f', 'norm', false)
    if (!config.tieEmbeddings) names.push({ name: 'lm_head.weight', path: 'head.weight' })
    return names
  },
}
