/**
 * Decoders beside llama.cpp, whole models of random weights: tokens per second of the prompt and of single steps after 128
 * tokens, in turns in one run, medians. Both open the same GGUF files; for bf16 theirs is F16, which they compute faster.
 *
 *     npx tsx bench/peers/decoders.ts --llama-bench <file> [gpt2|llama-1.1b …] [--dtype f32,bf16,q8_0,q4_0] [--threads 1,2] [--rounds 3] [--prompts 128,512] [--json]
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { encodeGguf, type GgufWriteType } from '../../lib/checkpoint/gguf-encode.ts'
import { writeGguf, type GgufTensorToWrite } from '../../lib/checkpoint/write-gguf.ts'
import { Decoding } from '../../lib/generate/decoding.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { runtime } from '../../lib/runtime.ts'
import { Random } from '../../lib/tensor/random.ts'
import { median } from './child.ts'

interface Shape {
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

const shapes: Readonly<Record<string, Shape>> = {
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

/** What the file of each side has. */
const files: Readonly<Record<string, readonly [ours: GgufWriteType, theirs: GgufWriteType]>> = {
  f32: ['F32', 'F32'],
  bf16: ['BF16', 'F16'],
  q8_0: ['Q8_0', 'Q8_0'],
  q4_0: ['Q4_0', 'Q4_0'],
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'llama-bench': { type: 'string' },
    dtype: { type: 'string', default: 'f32,bf16,q8_0,q4_0' },
    json: { type: 'boolean', default: false },
    prompts: { type: 'string', default: '128,512' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1,2' },
  },
})
const theirs = values['llama-bench']
const prompts = values.prompts.split(',').map(Number)
const context = 128
const steps = 24

function tensorsOf(shape: Shape): [name: string, shape: number[]][] {
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

/** The same 2²⁰ random numbers again and again. */
async function writeModel(path: string, shape: Shape, type: GgufWriteType): Promise<void> {
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
    'writeModel',
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

/** Tokens per second: of each prompt, and of single steps. */
type Figures = readonly number[]

async function ours(decoding: Decoding): Promise<Figures> {
  const ids = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => 3 + ((i * 7919) % 30_000))
  const timed = async (tokens: Int32Array): Promise<number> => {
    const start = performance.now()
    await decoding.append(tokens)
    return (performance.now() - start) / 1e3
  }
  const figures: number[] = []
  for (const count of prompts) {
    decoding.reset()
    figures.push(count / (await timed(ids(count))))
  }
  decoding.reset()
  await decoding.append(ids(context))
  const times: number[] = []
  for (let i = 0; i < steps; i++) times.push(await timed(Int32Array.of(5)))
  return [...figures, 1 / median(times)]
}

function llamaBench(file: string, threads: number): Figures {
  if (!theirs) return [...prompts, 0].map(() => NaN)
  const run = (...args: string[]): number[] => {
    const all = ['-m', file, '-t', String(threads), '-r', '1', '-o', 'jsonl', ...args]
    const { stdout, stderr, status } = spawnSync(theirs, all, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${theirs} ${all.join(' ')}: ${stderr.slice(-400)}`)
    return stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { avg_ts: number }).avg_ts)
  }
  return [...run('-p', prompts.join(), '-n', '0'), ...run('-p', '0', '-n', String(steps), '-d', String(context))]
}

const folder = await mkdtemp(join(tmpdir(), 'heedful-decoders-'))
try {
  for (const name of positionals.length ? positionals : Object.keys(shapes)) {
    const shape = shapes[name]
    if (!shape) throw new Error(`expected one of ${Object.keys(shapes).join(', ')}, got ${name}`)
    for (const dtype of values.dtype.split(',')) {
      const [own, other] = files[dtype]!
      const paths = [own, other].map((type) => join(folder, `${name}.${type}.gguf`)) as [string, string]
      await writeModel(paths[0], shape, own)
      if (other !== own) await writeModel(paths[1], shape, other)
      for (const threads of values.threads.split(',').map(Number)) {
        runtime.setThreads(threads)
        using model = await loadDecoder(paths[0], { dtype: 'auto' })
        using decoding = new Decoding(model, Math.max(...prompts, context + steps + 1))
        await ours(decoding)
        const rounds: [Figures, Figures][] = []
        for (let round = 0; round < Number(values.rounds); round++)
          rounds.push([await ours(decoding), llamaBench(paths[1], threads)])
        ;[...prompts.map((count) => `prefill ${count}`), 'decode'].forEach((task, i) => {
          const [a, b] = [0, 1].map((side) => median(rounds.map((round) => round[side]![i]!))) as [number, number]
          const line = { model: name, dtype, threads, task, ours: a, llamaCpp: b, ratio: a / b }
          console.log(
            values.json
              ? JSON.stringify(line)
              : `${name} ${dtype} ${threads} thread(s) ${task}: ${a.toFixed(1)} tokens/s, llama.cpp ${b.toFixed(1)}, ratio ${(a / b).toFixed(2)}`,
          )
        })
      }
      for (const path of paths) await rm(path, { force: true })
    }
  }
} finally {
  await rm(folder, { recursive: true })
}
