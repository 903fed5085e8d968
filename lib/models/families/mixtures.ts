import { describe, FileError } from '../../errors.ts'
import type { DecoderConfig, DecoderModel } from '../decoder-model.ts'
import type { ConfigPart, Family } from './family.ts'
import { headsOfTransformer, likeLlama, llamaFields, llamaKeys, llamaWeights } from './llama.ts'
import { qwenKeys } from './qwen.ts'
import { rotaryPositions } from './rope-keys.ts'
import { slidingWindow } from './window-keys.ts'

/** Both projections of the gates are one parameter for all experts, as transformers has it in memory. */
const stacked = {
  'layers.#.mlp.gateUp': 'model.layers.#.mlp.experts.gate_up_proj',
  'layers.#.mlp.down': 'model.layers.#.mlp.experts.down_proj',
}

/** The load-balancing loss is none of the model's. */
const harmless = { output_router_logits: false, quantization_config: undefined }

/** Mixtral (Jiang et al. 2024): a Mistral of whose experts a token uses two. */
export const mixtral: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'mixtral',
  architectures: {
    MixtralForCausalLM: 'causal-lm',
    MixtralForSequenceClassification: 'sequence-classification',
    MixtralForTokenClassification: 'token-classification',
    MixtralForQuestionAnswering: 'question-answering',
    MixtralModel: 'none',
  },
  config: {
    ...llamaKeys,
    max_position_embeddings: { field: 'context', kind: 'size', default: 131_072 },
    num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 8 },
    rms_norm_eps: { field: 'normEpsilon', kind: 'number', default: 1e-5 },
    num_local_experts: { field: 'experts', kind: 'size', default: 8, also: ['num_experts'] },
    num_experts_per_tok: { field: 'expertsPerToken', kind: 'size', default: 2 },
  },
  parts: [rotaryPositions({ theta: 1e6 }), slidingWindow({ default: null })],
  fixed: { ...llamaFields, normalizeExperts: true },
  harmless,
  constants: { attention_dropout: 0, output_router_logits: false },
  weights: {
    ...llamaWeights,
    'model.layers.#.block_sparse_moe.gate.weight': 'layers.#.mlp.router.weight',
    'model.layers.#.block_sparse_moe.experts.*.w1.weight': 'layers.#.mlp.gateUp[0/2]',
    'model.layers.#.block_sparse_moe.experts.*.w3.weight': 'layers.#.mlp.gateUp[1/2]',
    'model.layers.#.block_sparse_moe.experts.*.w2.weight': 'layers.#.mlp.down[0/1]',
  },
  stacked,
}

/** Which layers have experts: every so many, without some. */
const sparseLayers: ConfigPart<DecoderConfig> = {
  read({ decoder_sparse_step: step = 1, mlp_only_layers: dense }, { numLayers }, where) {
    if (!Number.isSafeInteger(step) || (step as number) < 1)
      throw new FileError(`${where}: decoder_sparse_step should be a whole number of at least 1, got ${describe(step)}`)
    if (dense !== undefined && dense !== null && !Array.isArray(dense))
      throw new FileError(`${where}: mlp_only_layers should be numbers of layers, got ${describe(dense)}`)
    const hasExperts = (i: number): boolean =>
      (i + 1) % (step as number) === 0 && !(dense as unknown[] | undefined | null)?.includes(i)
    return { expertLayers: Array.from({ length: numLayers! }, (_, i) => hasExperts(i)) }
  },
  write: ({ expertLayers }) => ({
    decoder_sparse_step: 1,
    mlp_only_layers: expertLayers.flatMap((has, i) => (has ? [] : [i])),
  }),
}

const expertKeys = {
  num_experts_per_tok: { field: 'expertsPerToken', kind: 'size', default: 4 },
  moe_intermediate_size: { field: 'expertSize', kind: 'size' },
  norm_topk_prob: { field: 'normalizeExperts', kind: 'flag', default: false },
} as const satisfies Family<DecoderConfig>['config']

const qwenWeights = {
  ...llamaWeights,
  'model.layers.#.mlp.gate.weight': 'layers.#.mlp.router.weight',
  'model.layers.#.mlp.experts.*.gate_proj.weight': 'layers.#.mlp.gateUp[0/2]',
  'model.layers.#.mlp.experts.*.up_proj.weight': 'layers.#.mlp.gateUp[1/2]',
  'model.layers.#.mlp.experts.*.down_proj.weight': 'layers.#.mlp.down[0/1]',
  'model.layers.#.mlp.shared_expert.gate_proj.weight': 'layers.#.mlp.shared.gate.weight',
  'model.layers.#.mlp.shared_expert.up_proj.weight': 'layers.#.mlp.shared.up.weight',
  'model.layers.#.mlp.shared_expert.down_proj.weight': 'layers.#.mlp.shared.down.weight',
  'model.layers.#.mlp.shared_expert_gate.weight': 'layers.#.mlp.sharedGate.weight',
}

/** Qwen 1.5 and 2 MoE (Yang et al. 2024): one more expert, that every token goes through. */
export const qwen2Moe: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'qwen2_moe',
  architectures: {
    Qwen2MoeForCausalLM: 'causal-lm',
    Qwen2MoeForSequenceClassification: 'sequence-classification',
    Qwen2MoeForTokenClassification: 'token-classification',
    Qwen2MoeForQuestionAnswering: 'question-answering',
    Qwen2MoeModel: 'none',
  },
  config: {
    ...qwenKeys,
    ...expertKeys,
    num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 16 },
    num_experts: { field: 'experts', kind: 'size', default: 60, also: ['num_local_experts'] },
    shared_expert_intermediate_size: { field: 'sharedExpertSize', kind: 'size', default: 5632 },
    qkv_bias: { field: 'qkvBias', kind: 'flag', default: true },
  },
  parts: [
    rotaryPositions(),
    slidingWindow({
      default: 4096,
      isSwitched: true,
      layers: (index, { max_window_layers: below }) =>
        index % 2 === 0 && index < (typeof below === 'number' ? below : 28),
    }),
    sparseLayers,
  ],
  fixed: { ...llamaFields, outputBias: false },
  harmless,
  constants: { attention_dropout: 0, output_router_logits: false },
  weights: qwenWeights,
  stacked,
}

/** Qwen 3 MoE (Yang et al. 2025). */
export const qwen3Moe: Family<DecoderConfig, DecoderModel> = {
  ...likeLlama,
  modelType: 'qwen3_moe',
  architectures: {
    Qwen3MoeForCausalLM: 'causal-lm',
    Qwen3MoeForSequenceClassification: 'sequence-classification',
    Qwen3MoeForTokenClassification: 'token-classification',
    Qwen3MoeForQuestionAnswering: 'question-answering',
    Qwen3MoeModel: 'none',
  },
  heads: headsOfTransformer,
  config: {
    ...qwenKeys,
    ...expertKeys,
    num_key_value_heads: { field: 'numKeyValueHeads', kind: 'size', default: 4 },
    num_experts_per_tok: { field: 'expertsPerToken', kind: 'size', default: 8 },
    num_experts: { field: 'experts', kind: 'size', default: 128, also: ['num_local_experts'] },
    attention_bias: { field: 'qkvBias', kind: 'flag', default: false },
  },
  parts: [rotaryPositions(), slidingWindow({ default: 4096, isSwitched: true }), sparseLayers],
  fixed: { ...llamaFields, queryKeyNorm: 'heads', sharedExpertSize: 0 },
  harmless,
  constants: { attention_dropout: 0, output_router_logits: false },
  weights: qwenWeights,
  stacked,
}
