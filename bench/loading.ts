/**
 * How long a model takes from its files to its first token, and what it takes of memory: a Llama of random weights whose
 * f32 folder has 1 GB is written to the system's folder for temporary files, opened by a process of its own in each
 * dtype, and removed again.
 *
 * Peak RSS is told with what Node takes before anything is opened, and without it.
 *
 *     npx tsx bench/loading.ts [dtype…]
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Decoding } from '../lib/generate/decoding.ts'
import { loadDecoder } from '../lib/models/pretrained.ts'
import { loadDTypes, type LoadDType } from '../lib/models/weight-formats.ts'
import { Random } from '../lib/tensor/random.ts'
import { liveBytes } from '../lib/tensor/tensor.ts'

const shape = { hidden: 1024, layers: 16, intermediate: 2816, vocab: 32_000, heads: 16, context: 512 }

function tensors(): [string, number[]][] {
  const { hidden, layers, intermediate, vocab } = shape
  const layer: [string, number[]][] = [
    ['input_layernorm', [hidden]],
    ...['q', 'k', 'v', 'o'].map((name): [string, number[]] => [`self_attn.${name}_proj`, [hidden, hidden]]),
    ['post_attention_layernorm', [hidden]],
    ['mlp.gate_proj', [intermediate, hidden]],
    ['mlp.up_proj', [intermediate, hidden]],
    ['mlp.down_proj', [hidden, intermediate]],
  ]
  const all: [string, number[]][] = [
    ['embed_tokens', [vocab, hidden]],
    ['norm', [hidden]],
  ]
  for (let i = 0; i < layers; i++)
    all.push(...layer.map(([name, of]): [string, number[]] => [`layers.${i}.${name}`, of]))
  return all.map(([name, of]) => [`model.${name}.weight`, of])
}

/** The same million random numbers again and again. */
function writeFolder(folder: string, type: 'F32' | 'BF16'): void {
  const random = new Random(1)
  const block = Float32Array.from({ length: 2 ** 20 }, () => 0.02 * random.normal())
  const bytes = type === 'F32' ? new Uint8Array(block.buffer) : upperHalves(block)
  const bytesEach = type === 'F32' ? 4 : 2
  let end = 0
  const entries = tensors().map(([name, of]) => {
    const begin = end
    end += of.reduce((a, b) => a * b) * bytesEach
    return [name, { dtype: type, shape: of, data_offsets: [begin, end] }] as const
  })
  const text = JSON.stringify(Object.fromEntries(entries))
  const header = Buffer.from(text.padEnd(Math.ceil((text.length + 8) / 64) * 64 - 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const file = openSync(join(folder, 'model.safetensors'), 'w')
  for (const part of [length, header]) writeSync(file, part)
  for (let at = 0; at < end; at += bytes.length) writeSync(file, bytes, 0, Math.min(bytes.length, end - at))
  closeSync(file)
  const { hidden, layers, intermediate, vocab, heads, context } = shape
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    vocab_size: vocab,
    max_position_embeddings: context,
    tie_word_embeddings: true,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
}

const upperHalves = (numbers: Float32Array): Uint8Array =>
  new Uint8Array(Uint16Array.from(new Uint32Array(numbers.buffer), (bits) => bits >>> 16).buffer)

/** In a process of its own. */
async function load(folder: string, dtype: LoadDType): Promise<void> {
  const own = process.resourceUsage().maxRSS * 1024
  const start = performance.now()
  using model = await loadDecoder(folder, { dtype, trainable: false })
  const loaded = performance.now()
  using decoding = new Decoding(model, { capacity: 64 })
  await decoding.append([[1, 2, 3, 4, 5, 6, 7, 8]])
  const first = performance.now()
  // What is not packed is mapped, and no live memory.
  const mapped = [...model.parameters().values()].reduce((sum, { packed, size }) => sum + (packed ? 0 : 4 * size), 0)
  const planned = liveBytes() + mapped
  const peak = process.resourceUsage().maxRSS * 1024
  console.log(
    `${dtype.padEnd(5)} loaded ${((loaded - start) / 1e3).toFixed(2)} s, first token ${((first - start) / 1e3).toFixed(2)} s, ` +
      `weights and plan ${(planned / 1e6).toFixed(0)} MB, peak RSS ${(peak / 1e6).toFixed(0)} MB, ${(peak / planned).toFixed(3)} x, ${((peak - own) / planned).toFixed(3)} x without Node's own ${(own / 1e6).toFixed(0)} MB`,
  )
}

const self = fileURLToPath(import.meta.url)
if (process.argv[2] === '--load') await load(process.argv[3]!, process.argv[4] as LoadDType)
else {
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : loadDTypes.filter((dtype) => dtype !== 'auto')
  const root = mkdtempSync(join(tmpdir(), 'heedful-loading-'))
  try {
    for (const type of ['F32', 'BF16'] as const) {
      writeFolder(root, type)
      console.log(`a folder in ${type}:`)
      for (const dtype of type === 'F32' ? chosen : ['auto'])
        spawnSync(process.execPath, ['--import', 'tsx', self, '--load', root, dtype], { stdio: 'inherit' })
    }
  } finally {
    rmSync(root, { recursive: true })
  }
}
