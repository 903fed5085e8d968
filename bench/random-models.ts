/** Models of random weights for measurements: files of decoders, folders of encoders. */
import { encodeGguf, type GgufWriteType } from '../lib/checkpoint/gguf-encode.ts'
import { writeGguf, type GgufTensorToWrite } from '../lib/checkpoint/write-gguf.ts'
import { EncoderForTask } from '../lib/models/encoder-for-task.ts'
import { EncoderModel } from '../lib/models/encoder-model.ts'
import { bert } from '../lib/models/families/bert.ts'
import { Random } from '../lib/tensor/random.ts'

const encoderShapes = {
  minilm: { hiddenSize: 384, numLayers: 6, numHeads: 12, intermediateSize: 1536 },
  'bert-base': { hiddenSize: 768, numLayers: 12, numHeads: 12, intermediateSize: 3072 },
} as const
export const vocabSize = 30_522
export type EncoderName = keyof typeof encoderShapes

/** A folder of Hugging Face. */
export async function writeEncoder(name: EncoderName, folder: string): Promise<void> {
  const random = new Random(1)
  const body = new EncoderModel({ ...encoderShapes[name], vocabSize, context: 512, typeVocabSize: 2 }, { random })
  using model = new EncoderForTask(bert, 'none', body)
  await model.savePretrained(folder)
}

interface DecoderShape {
  readonly architecture: 'gpt2' | 'llama'
  readonly layers: number
  readonly hidden: number
  readonly intermediate: number
  readonly heads: number
  readonly keyValueHeads: number
  readonly vocab: number
  readonly context: number
  readonly tied: boolean
}

export const decoderShapes: Readonly<Record<string, DecoderShape>> = {
  gpt2: {
    architecture: 'gpt2',
    layers: 12,
    hidden: 768,
    intermediate: 3072,
    heads: 12,
    keyValueHeads: 12,
    vocab: 50_257,
    context: 1024,
    tied: true,
  },
  'llama-1.1b': {
    architecture: 'llama',
    layers: 22,
    hidden: 2048,
    intermediate: 5632,
    heads: 32,
    keyValueHeads: 4,
    vocab: 32_000,
    context: 2048,
    tied: false,
  },
}

function tensorsOf(shape: DecoderShape): [name: string, shape: number[]][] {
  const { architecture, layers, hidden, intermediate, keyValueHeads, heads, vocab, tied } = shape
  const isGpt2 = architecture === 'gpt2'
  const keys = (hidden / heads) * keyValueHeads
  const norm = (name: string): [string, number[]][] => [
    [`${name}.weight`, [hidden]],
    ...(isGpt2 ? [[`${name}.bias`, [hidden]] as [string, number[]]] : []),
  ]
  const linear = (name: string, outputs: number, inputs: number): [string, number[]][] => [
    [`${name}.weight`, [outputs, inputs]],
    ...(isGpt2 ? [[`${name}.bias`, [outputs]] as [string, number[]]] : []),
  ]
  const all: [string, number[]][] = [['token_embd.weight', [vocab, hidden]], ...norm('output_norm')]
  if (isGpt2) all.push(['position_embd.weight', [shape.context, hidden]])
  if (!tied) all.push(['output.weight', [vocab, hidden]])
  for (let i = 0; i < layers; i++) {
    const layer = `blk.${i}`
    all.push(...norm(`${layer}.attn_norm`), ...norm(`${layer}.ffn_norm`))
    if (isGpt2) all.push(...linear(`${layer}.attn_qkv`, 3 * hidden, hidden))
    else
      for (const [name, outputs] of [
        ['q', hidden],
        ['k', keys],
        ['v', keys],
      ] as const)
        all.push(...linear(`${layer}.attn_${name}`, outputs, hidden))
    all.push(...linear(`${layer}.attn_output`, hidden, hidden))
    if (!isGpt2) all.push(...linear(`${layer}.ffn_gate`, intermediate, hidden))
    all.push(...linear(`${layer}.ffn_up`, intermediate, hidden), ...linear(`${layer}.ffn_down`, hidden, intermediate))
  }
  return all
}

/** A GGUF file: the same 2²⁰ random numbers again and again. */
export async function writeDecoder(path: string, shape: DecoderShape, type: GgufWriteType): Promise<void> {
  const random = new Random(1)
  const numbers = Float32Array.from({ length: 2 ** 20 }, () => 0.02 * random.normal())
  const encoded = new Map<GgufWriteType, Uint8Array>()
  const bytes = (of: GgufWriteType, count: number): Uint8Array => {
    const block = encoded.get(of) ?? encodeGguf(numbers, of)
    encoded.set(of, block)
    const result = new Uint8Array((block.length / numbers.length) * count)
    for (let at = 0; at < result.length; at += block.length) result.set(block.subarray(0, result.length - at), at)
    return result
  }
  const tensors = tensorsOf(shape).map(([name, dims]): GgufTensorToWrite => {
    const kept = dims.length === 1 || name.startsWith('position') ? 'F32' : type
    const row = dims.slice(1).reduce((a, b) => a * b, 1)
    return { name, shape: dims, type: kept, rows: async (begin, end) => bytes(kept, (end - begin) * row) }
  })
  const { architecture: name, layers, hidden, intermediate, heads, keyValueHeads, vocab } = shape
  const isGpt2 = name === 'gpt2'
  await writeGguf(
    'writeDecoder',
    path,
    {
      'general.architecture': name,
      [`${name}.context_length`]: shape.context,
      [`${name}.embedding_length`]: hidden,
      [`${name}.block_count`]: layers,
      [`${name}.feed_forward_length`]: intermediate,
      [`${name}.attention.head_count`]: heads,
      [`${name}.vocab_size`]: vocab,
      ...(isGpt2
        ? { 'gpt2.attention.layer_norm_epsilon': 1e-5 }
        : {
            'llama.attention.head_count_kv': keyValueHeads,
            'llama.rope.dimension_count': hidden / heads,
            'llama.attention.layer_norm_rms_epsilon': 1e-5,
          }),
      'tokenizer.ggml.model': 'none',
    },
    tensors,
    {},
  )
}
