import { describe, expect, it } from 'vitest'
import type { Checkpoint } from '../../lib/checkpoint/checkpoint.ts'
import { ggufModel } from '../../lib/checkpoint/gguf-model.ts'
import { ArgumentError, FileError } from '../../lib/errors.ts'

const checkpoint = (metadata: Record<string, unknown>, shapes: Record<string, number[]>): Checkpoint =>
  ({
    format: 'gguf',
    path: 'x.gguf',
    metadata,
    tensors: new Map(
      Object.entries(shapes).map(([name, shape]) => [name, { shape, fileType: 'F32', dtype: 'f32', byteLength: 0 }]),
    ),
  }) as Partial<Checkpoint> as Checkpoint

/** What llama.cpp's converter writes for stories260K. */
const llama = {
  'general.architecture': 'llama',
  'llama.context_length': 512,
  'llama.embedding_length': 64,
  'llama.block_count': 5,
  'llama.feed_forward_length': 172,
  'llama.attention.head_count': 8,
  'llama.attention.head_count_kv': 4,
  'llama.rope.dimension_count': 8,
  'llama.attention.layer_norm_rms_epsilon': Math.fround(1e-5),
  'tokenizer.ggml.bos_token_id': 1,
  'tokenizer.ggml.eos_token_id': 2,
}
const embedding = { 'token_embd.weight': [512, 64] }

describe('ggufModel', () => {
  it('gives the configuration of a Llama', () => {
    const { config } = ggufModel(checkpoint(llama, { ...embedding, 'output.weight': [512, 64] }))
    expect(config).toEqual({
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_act: 'silu',
      attention_bias: false,
      mlp_bias: false,
      hidden_size: 64,
      intermediate_size: 172,
      num_hidden_layers: 5,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      max_position_embeddings: 512,
      rms_norm_eps: 1e-5,
      vocab_size: 512,
      bos_token_id: 1,
      eos_token_id: 2,
      tie_word_embeddings: false,
    })
    expect(ggufModel(checkpoint(llama, embedding)).config['tie_word_embeddings']).toBe(true)
  })

  it('gives the names and layouts of tensors', () => {
    const { names } = ggufModel(
      checkpoint(llama, { ...embedding, 'blk.12.attn_q.weight': [64, 64], 'blk.0.ffn_down.weight': [64, 172] }),
    )
    expect([...names]).toEqual([
      ['model.embed_tokens.weight', { name: 'token_embd.weight', transposed: false, interleaved: false }],
      [
        'model.layers.12.self_attn.q_proj.weight',
        { name: 'blk.12.attn_q.weight', transposed: false, interleaved: true },
      ],
      ['model.layers.0.mlp.down_proj.weight', { name: 'blk.0.ffn_down.weight', transposed: false, interleaved: false }],
    ])
    const gpt2 = Object.fromEntries(
      Object.entries(llama).map(([key, value]) => [
        key.replace('llama.', 'gpt2.').replace('rms_', ''),
        value === 'llama' ? 'gpt2' : value,
      ]),
    )
    const { names: ofGpt2 } = ggufModel(
      checkpoint(gpt2, { ...embedding, 'blk.0.attn_qkv.weight': [192, 64], 'blk.0.attn_qkv.bias': [192] }),
    )
    expect(ofGpt2.get('transformer.h.0.attn.c_attn.weight')).toMatchObject({ transposed: true })
    expect(ofGpt2.get('transformer.h.0.attn.c_attn.bias')).toMatchObject({ transposed: false })
  })

  it.each<[string, Record<string, unknown>, Record<string, number[]>, string]>([
    [
      'another architecture',
      { ...llama, 'general.architecture': 'mamba' },
      embedding,
      '"mamba" is not known; known: llama, qwen2, qwen3, gemma2, gemma3, phi3, olmo2, gptneox, gpt2, bert',
    ],
    ['no architecture', {}, embedding, 'undefined is not known'],
    ['one of every object', { 'general.architecture': 'toString' }, embedding, 'is not known'],
    [
      'a key that is missing',
      { ...llama, 'llama.block_count': undefined },
      embedding,
      'llama.block_count should be a number',
    ],
    [
      'a key of another kind',
      { ...llama, 'llama.block_count': '5' },
      embedding,
      'llama.block_count should be a number, got "5"',
    ],
    [
      'scaled rotations',
      { ...llama, 'llama.rope.scaling.type': 'longrope' },
      embedding,
      'llama.rope.scaling.type = "longrope" is not supported',
    ],
    ['experts', { ...llama, 'llama.expert_count': 8 }, embedding, 'llama.expert_count = 8 is not supported'],
    [
      'factors of long sequences',
      llama,
      { ...embedding, 'rope_factors_long.weight': [4] },
      'tensor "rope_factors_long.weight" is not known',
    ],
    [
      'a layer in other digits',
      llama,
      { ...embedding, 'blk.00.attn_q.weight': [1] },
      'tensor "blk.00.attn_q.weight" is not known',
    ],
    ['no embedding', llama, {}, 'tensor token_embd.weight is missing'],
  ])('refuses %s', (_, metadata, shapes, message) => {
    const call = (): unknown => ggufModel(checkpoint(metadata, shapes))
    expect(call).toThrow(FileError)
    expect(call).toThrow(message)
  })

  it('refuses what is no GGUF file', () => {
    expect(() => ggufModel({ ...checkpoint(llama, {}), format: 'safetensors' })).toThrow(ArgumentError)
    expect(() => ggufModel(undefined as never)).toThrow(ArgumentError)
  })
})
