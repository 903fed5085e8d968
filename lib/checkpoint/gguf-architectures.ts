type Json = Readonly<Record<string, unknown>>

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
  /** The file has 1 more of these: weights of norms that are kept as what comes on top of 1. */
  readonly offset?: readonly string[]
  /** The file has all queries first, then all keys and all values, where transformers has those of a head side by side. */
  readonly byPart?: readonly string[]
  /** More of config.json; `at` gives what stands behind `<architecture>.` and a key. */
  readonly derived?: (at: (key: string) => unknown, config: Json) => Json
  /** More of what a file says, by keys after `<architecture>.`; `full` is config.json with all its defaults. */
  readonly written?: (full: Json) => Readonly<Record<string, string | number | boolean>>
  /** Other model types that are written so, where they say nothing more. */
  readonly alsoOf?: readonly string[]
  /** Keys that change what the model computes in ways that are not described here, and their values that do not. */
  readonly refused: Readonly<Record<string, readonly unknown[]>>
}

const llamaConfig = {
  hidden_size: 'embedding_length',
  intermediate_size: 'feed_forward_length',
  num_hidden_layers: 'block_count',
  num_attention_heads: 'attention.head_count',
  num_key_value_heads: 'attention.head_count_kv?',
  max_position_embeddings: 'context_length',
  rms_norm_eps: 'attention.layer_norm_rms_epsilon',
  rope_theta: 'rope.freq_base?',
  head_dim: 'attention.key_length?',
}
const llamaNames = {
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
}
const queryKeyNorms = {
  'model.layers.#.self_attn.q_norm': 'blk.#.attn_q_norm',
  'model.layers.#.self_attn.k_norm': 'blk.#.attn_k_norm',
}
/** Norms after each part. */
const outputNorms = {
  'model.layers.#.post_attention_layernorm': 'blk.#.post_attention_norm',
  'model.layers.#.post_feedforward_layernorm': 'blk.#.post_ffw_norm',
}
const headDimOf = (full: Json): number =>
  Number(full['head_dim'] ?? Number(full['hidden_size']) / Number(full['num_attention_heads']))

/** Linear and YaRN scaling of rotary positions. */
function readScaling(at: (key: string) => unknown): Json {
  const type = at('rope.scaling.type')
  if (type !== 'linear' && type !== 'yarn') return {}
  const original = at('rope.scaling.original_context_length')
  return {
    rope_scaling: {
      rope_type: type,
      factor: at('rope.scaling.factor'),
      ...(type === 'yarn' && { original_max_position_embeddings: original }),
    },
  }
}
function writeScaling(full: Json): Record<string, string | number> {
  const { rope_scaling: given } = full
  const { rope_type: type, factor, original_max_position_embeddings: original } = (given ?? {}) as Json
  if ((type !== 'linear' && type !== 'yarn') || typeof factor !== 'number') return {}
  return {
    'rope.scaling.type': type,
    'rope.scaling.factor': factor,
    ...(type === 'yarn' && typeof original === 'number' && { 'rope.scaling.original_context_length': original }),
  }
}
/** llama.cpp counts on heads of one width unless a file says so of both. */
const likeLlamaWritten = (full: Json): Record<string, string | number> => ({
  'attention.value_length': headDimOf(full),
  ...writeScaling(full),
})
const scalings = { 'rope.scaling.type': ['none', 'linear', 'yarn'] }

const likeLlama = {
  config: llamaConfig,
  sizes: { vocab_size: ['token_embd.weight', 0] },
  names: llamaNames,
  transposed: [],
  interleaved: [],
  derived: readScaling,
  written: likeLlamaWritten,
  refused: { ...scalings, expert_count: [0], 'attention.causal': [true] },
} as const satisfies Partial<GgufArchitecture>

/** Gemma's scores are divided as llama.cpp does it: its 27B models differ from the others. */
const gemmaScale = (layersOf27B: number, config: Json): Json => {
  const [size, heads] = [Number(config['hidden_size']), Number(config['num_attention_heads'])]
  return { query_pre_attn_scalar: config['num_hidden_layers'] === layersOf27B ? size / heads : headDimOf(config) }
}
const gemmaWritten = (full: Json): Record<string, string | number> => ({
  ...likeLlamaWritten(full),
  ...(typeof full['sliding_window'] === 'number' && { 'attention.sliding_window': full['sliding_window'] }),
})
const gemmaNorms = [
  'input_layernorm',
  'post_attention_layernorm',
  'pre_feedforward_layernorm',
  'post_feedforward_layernorm',
]
const gemmaNames = { ...llamaNames, ...outputNorms, 'model.layers.#.pre_feedforward_layernorm': 'blk.#.ffn_norm' }
const offsetOf = (names: Readonly<Record<string, string>>): string[] =>
  Object.entries(names).flatMap(([theirs, ours]) =>
    theirs === 'model.norm' || theirs.endsWith('_norm') || gemmaNorms.some((name) => theirs.endsWith(name))
      ? [ours]
      : [],
  )
const gemma3Names = { ...gemmaNames, ...queryKeyNorms }

export const ggufArchitectures: Readonly<Record<string, GgufArchitecture>> = {
  llama: {
    ...likeLlama,
    constants: {
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_act: 'silu',
      attention_bias: false,
      mlp_bias: false,
    },
    interleaved: ['blk.#.attn_q', 'blk.#.attn_k'],
    written: (full) => ({ 'rope.dimension_count': headDimOf(full), ...likeLlamaWritten(full) }),
    alsoOf: ['mistral'],
  },
  qwen2: {
    ...likeLlama,
    constants: {
      model_type: 'qwen2',
      architectures: ['Qwen2ForCausalLM'],
      hidden_act: 'silu',
      use_sliding_window: false,
    },
  },
  qwen3: {
    ...likeLlama,
    constants: {
      model_type: 'qwen3',
      architectures: ['Qwen3ForCausalLM'],
      hidden_act: 'silu',
      use_sliding_window: false,
      attention_bias: false,
    },
    names: { ...llamaNames, ...queryKeyNorms },
  },
  gemma2: {
    ...likeLlama,
    constants: {
      model_type: 'gemma2',
      architectures: ['Gemma2ForCausalLM'],
      hidden_activation: 'gelu_pytorch_tanh',
      attention_bias: false,
    },
    config: {
      ...llamaConfig,
      attn_logit_softcapping: 'attn_logit_softcapping?',
      final_logit_softcapping: 'final_logit_softcapping?',
      sliding_window: 'attention.sliding_window?',
    },
    names: gemmaNames,
    offset: offsetOf(gemmaNames),
    derived: (at, config) => ({ ...gemmaScale(46, config), ...readScaling(at) }),
    written: gemmaWritten,
  },
  gemma3: {
    ...likeLlama,
    constants: {
      model_type: 'gemma3_text',
      architectures: ['Gemma3ForCausalLM'],
      hidden_activation: 'gelu_pytorch_tanh',
      attention_bias: false,
      sliding_window_pattern: 6,
    },
    config: {
      ...llamaConfig,
      final_logit_softcapping: 'final_logit_softcapping?',
      sliding_window: 'attention.sliding_window',
      rope_local_base_freq: 'rope.freq_base_swa?',
    },
    names: gemma3Names,
    offset: offsetOf(gemma3Names),
    derived: (at, config) => ({ ...gemmaScale(62, config), ...readScaling(at) }),
    written: gemmaWritten,
  },
  phi3: {
    ...likeLlama,
    constants: { model_type: 'phi3', architectures: ['Phi3ForCausalLM'], hidden_act: 'silu' },
    names: {
      ...llamaNames,
      'model.layers.#.self_attn.qkv_proj': 'blk.#.attn_qkv',
      'model.layers.#.mlp.gate_up_proj': 'blk.#.ffn_up',
    },
    derived: (at, config) => {
      const dimensions = at('rope.dimension_count')
      return {
        // llama.cpp takes no notice of windows here; 0 is none.
        sliding_window: at('attention.sliding_window') || null,
        ...(typeof dimensions === 'number' && { partial_rotary_factor: dimensions / headDimOf(config) }),
      }
    },
    written: (full) => ({
      ...likeLlamaWritten(full),
      'rope.dimension_count': Math.trunc(headDimOf(full) * Number(full['partial_rotary_factor'] ?? 1)),
      'rope.scaling.original_context_length': Number(full['max_position_embeddings']),
      'attention.sliding_window': Number(full['sliding_window'] ?? 0),
    }),
    refused: { ...likeLlama.refused, 'rope.scaling.type': ['none'] },
  },
  olmo2: {
    ...likeLlama,
    constants: { model_type: 'olmo2', architectures: ['Olmo2ForCausalLM'], hidden_act: 'silu', attention_bias: false },
    names: { ...llamaNames, ...outputNorms, ...queryKeyNorms },
    refused: { ...likeLlama.refused, 'attention.sliding_window': [] },
  },
  gptneox: {
    constants: {
      model_type: 'gpt_neox',
      architectures: ['GPTNeoXForCausalLM'],
      hidden_act: 'gelu',
      attention_bias: true,
    },
    config: {
      hidden_size: 'embedding_length',
      intermediate_size: 'feed_forward_length',
      num_hidden_layers: 'block_count',
      num_attention_heads: 'attention.head_count',
      max_position_embeddings: 'context_length',
      layer_norm_eps: 'attention.layer_norm_epsilon',
      rotary_emb_base: 'rope.freq_base?',
    },
    sizes: { vocab_size: ['token_embd.weight', 0] },
    names: {
      'gpt_neox.embed_in': 'token_embd',
      'gpt_neox.final_layer_norm': 'output_norm',
      embed_out: 'output',
      'gpt_neox.layers.#.input_layernorm': 'blk.#.attn_norm',
      'gpt_neox.layers.#.attention.query_key_value': 'blk.#.attn_qkv',
      'gpt_neox.layers.#.attention.dense': 'blk.#.attn_output',
      'gpt_neox.layers.#.post_attention_layernorm': 'blk.#.ffn_norm',
      'gpt_neox.layers.#.mlp.dense_h_to_4h': 'blk.#.ffn_up',
      'gpt_neox.layers.#.mlp.dense_4h_to_h': 'blk.#.ffn_down',
    },
    transposed: [],
    interleaved: [],
    byPart: ['blk.#.attn_qkv'],
    derived: (at, config) => ({
      rotary_pct: Number(at('rope.dimension_count') ?? headDimOf(config)) / headDimOf(config),
      use_parallel_residual: at('use_parallel_residual') ?? true,
    }),
    written: (full) => ({
      'rope.dimension_count': Math.trunc(headDimOf(full) * Number(full['rotary_pct'])),
      use_parallel_residual: full['use_parallel_residual'] === true,
    }),
    refused: { 'rope.scaling.type': ['none'] },
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
    written: () => ({ 'attention.causal': false }),
    refused: { 'attention.causal': [false] },
  },
}
