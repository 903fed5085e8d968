/** What a GGUF file of one architecture (general.architecture) is called in the folders of Hugging Face's transformers. */
export interface GgufArchitecture {
  /** What config.json says whatever the file. */
  readonly constants: Readonly<Record<string, unknown>>
  /** Key of config.json ← key of the file, after `<architecture>.`; those with ? may be missing. */
  readonly config: Readonly<Record<string, string>>
  /** Key of config.json ← tensor and dimension of its shape that tells it, when no key does. */
  readonly sizes: Readonly<Record<string, readonly [tensor: string, dimension: number]>>
  /** Name of transformers ← name in the file, both without .weight and .bias; # is the number of a layer. */
  readonly names: Readonly<Record<string, string>>
  /** The file has these transposed against transformers: [out, in] for [in, out]. */
  readonly transposed: readonly string[]
  /** Rows of each head (head_dim = 2n): the file has row 2i + j where transformers has row j · n + i. */
  readonly interleaved: readonly string[]
  /** Keys that change what the model computes in ways that are not described here, and their values that do not. */
  readonly refused: Readonly<Record<string, readonly unknown[]>>
}

export const ggufArchitectures: Readonly<Record<string, GgufArchitecture>> = {
  llama: {
    constants: {
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_act: 'silu',
      attention_bias: false,
      mlp_bias: false,
    },
    config: {
      hidden_size: 'embedding_length',
      intermediate_size: 'feed_forward_length',
      num_hidden_layers: 'block_count',
      num_attention_heads: 'attention.head_count',
      num_key_value_heads: 'attention.head_count_kv?',
      max_position_embeddings: 'context_length',
      rms_norm_eps: 'attention.layer_norm_rms_epsilon',
      rope_theta: 'rope.freq_base?',
      head_dim: 'attention.key_length?',
    },
    sizes: { vocab_size: ['token_embd.weight', 0] },
    names: {
      'model.embed_tokens': 'token_embd',
      'model.norm': 'output_norm',
      lm_head: 'output',
      'model.layers.#.input_layernorm': 'blk.#.attn_norm',
      'model.layers.#.self_attn.q_proj': 'blk.#.attn_q',
      'model.layers.#.self_attn.k_proj': 'blk.#.attn_k',
      'model.layers.#.self_attn.v_proj': 'blk.#.attn_v',
      'model.layers.#.self_attn.o_proj': 'blk.#.attn_output',
      'model.layers.#.post_attention_layernorm': 'blk.#.ffn_norm',
      'model.layers.#.mlp.gate_proj': 'blk.#.ffn_gate',
      'model.layers.#.mlp.up_proj': 'blk.#.ffn_up',
      'model.layers.#.mlp.down_proj': 'blk.#.ffn_down',
    },
    transposed: [],
    interleaved: ['blk.#.attn_q', 'blk.#.attn_k'],
    refused: { 'rope.scaling.type': ['none'], expert_count: [0], 'attention.causal': [true] },
  },
  gpt2: {
    constants: {
      model_type: 'gpt2',
      architectures: ['GPT2LMHeadModel'],
      activation_function: 'gelu_new',
    },
    config: {
      n_embd: 'embedding_length',
      n_inner: 'feed_forward_length',
      n_layer: 'block_count',
      n_head: 'attention.head_count',
      n_positions: 'context_length',
      layer_norm_epsilon: 'attention.layer_norm_epsilon',
    },
    sizes: { vocab_size: ['token_embd.weight', 0] },
    names: {
      'transformer.wte': 'token_embd',
      'transformer.wpe': 'position_embd',
      'transformer.ln_f': 'output_norm',
      lm_head: 'output',
      'transformer.h.#.ln_1': 'blk.#.attn_norm',
      'transformer.h.#.attn.c_attn': 'blk.#.attn_qkv',
      'transformer.h.#.attn.c_proj': 'blk.#.attn_output',
      'transformer.h.#.ln_2': 'blk.#.ffn_norm',
      'transformer.h.#.mlp.c_fc': 'blk.#.ffn_up',
      'transformer.h.#.mlp.c_proj': 'blk.#.ffn_down',
    },
    transposed: ['blk.#.attn_qkv', 'blk.#.attn_output', 'blk.#.ffn_up', 'blk.#.ffn_down'],
    interleaved: [],
    refused: {},
  },
  bert: {
    constants: {
      model_type: 'bert',
      architectures: ['BertModel'],
      hidden_act: 'gelu',
      position_embedding_type: 'absolute',
    },
    config: {
      hidden_size: 'embedding_length',
      intermediate_size: 'feed_forward_length',
      num_hidden_layers: 'block_count',
      num_attention_heads: 'attention.head_count',
      max_position_embeddings: 'context_length',
      layer_norm_eps: 'attention.layer_norm_epsilon',
    },
    sizes: { vocab_size: ['token_embd.weight', 0], type_vocab_size: ['token_types.weight', 0] },
    names: {
      'embeddings.word_embeddings': 'token_embd',
      'embeddings.position_embeddings': 'position_embd',
      'embeddings.token_type_embeddings': 'token_types',
      'embeddings.LayerNorm': 'token_embd_norm',
      'encoder.layer.#.attention.self.query': 'blk.#.attn_q',
      'encoder.layer.#.attention.self.key': 'blk.#.attn_k',
      'encoder.layer.#.attention.self.value': 'blk.#.attn_v',
      'encoder.layer.#.attention.output.dense': 'blk.#.attn_output',
      'encoder.layer.#.attention.output.LayerNorm': 'blk.#.attn_output_norm',
      'encoder.layer.#.intermediate.dense': 'blk.#.ffn_up',
      'encoder.layer.#.output.dense': 'blk.#.ffn_down',
      'encoder.layer.#.output.LayerNorm': 'blk.#.layer_output_norm',
    },
    transposed: [],
    interleaved: [],
    refused: { 'attention.causal': [false] },
  },
}
