/**
 * Decoders beside llama.cpp, whole models of random weights: tokens per second of the prompt and of single steps after 128
 * tokens, in turns in one run, medians. Both open the same GGUF files; for bf16 theirs is F16, which they compute faster.
 * Key-value caches have 16 bits on both sides (theirs f16, ours bf16).
 *
 *     npx tsx bench/peers/decoders.ts --llama-bench <file> [gpt2|llama-1.1b …] [--dtype f32,bf16,q8_0,q4_0] [--threads 1,2] [--rounds 3] [--prompts 128,512] [--json]
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { GgufWriteType } from '../../lib/checkpoint/gguf-encode.ts'
import { Decoding } from '../../lib/generate/decoding.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { runtime } from '../../lib/runtime.ts'
import { decoderShapes, writeDecoder } from '../random-models.ts'
import { median } from './child.ts'

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

/** Tokens per second: of each prompt, and of single steps. */
type Figures = readonly number[]

async function ours(decoding: Decoding): Promise<Figures> {
  const ids = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => 3 + ((i * 7919) % 30_000))
  const timed = async (tokens: Int32Array): Promise<number> => {
    const start = performance.now()
    await decoding.append([tokens])
    return (performance.now() - start) / 1e3
  }
  const figures: number[] = []
  for (const count of prompts) {
    decoding.reset()
    figures.push(count / (await timed(ids(count))))
  }
  decoding.reset()
  await decoding.append([ids(context)])
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
  for (const name of positionals.length ? positionals : Object.keys(decoderShapes)) {
    const shape = decoderShapes[name]
    if (!shape) throw new Error(`expected one of ${Object.keys(decoderShapes).join(', ')}, got ${name}`)
    for (const dtype of values.dtype.split(',')) {
      const [own, other] = files[dtype]!
      const paths = [own, other].map((type) => join(folder, `${name}.${type}.gguf`)) as [string, string]
      await writeDecoder(paths[0], shape, own)
      if (other !== own) await writeDecoder(paths[1], shape, other)
      for (const threads of values.threads.split(',').map(Number)) {
        runtime.setThreads(threads)
        using model = await loadDecoder(paths[0], { dtype: 'auto', trainable: false })
        using decoding = new Decoding(model, {
          capacity: Math.max(...prompts, context + steps + 1),
          cacheDtype: 'bf16',
        })
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
