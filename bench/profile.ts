/**
 * Where the time of a model goes: its native instructions by shape, what each takes of a run, and how near that is to what
 * the machine can do (arithmetic, or reading from memory, whichever is slower), measured in the same run. Random weights.
 *
 *     npx tsx bench/profile.ts gpt2|llama-1.1b [--dtype f32] [--rows 1] [--context 128] [--threads 1] [--runs 20]
 *     npx tsx bench/profile.ts minilm|bert-base [--dtype f32] [--rows 128] [--batch 1] …
 *
 * `--dtype`: of a decoder f32, bf16, q8_0 or q4_0, the file's; of an encoder that of `fromPretrained`. `--rows`: tokens of a run
 * (of each sequence of a batch); a decoder's come after `--context` others.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Machine } from '../lib/bench/machine.ts'
import { Decoding } from '../lib/generate/decoding.ts'
import { profileRuns, type InstructionProfile } from '../lib/graph/profile.ts'
import { AutoModel } from '../lib/models/auto.ts'
import type { LoadDType } from '../lib/models/weight-formats.ts'
import type { EncoderForTask } from '../lib/models/encoder-for-task.ts'
import { loadDecoder } from '../lib/models/pretrained.ts'
import { native } from '../lib/native/load.ts'
import { bytesPerElement } from '../lib/tensor/dtype.ts'
import { decoderShapes, writeDecoder, writeEncoder, vocabSize, type EncoderName } from './random-models.ts'
import type { GgufWriteType } from '../lib/checkpoint/gguf-encode.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: 'string', default: 'f32' },
    rows: { type: 'string' },
    batch: { type: 'string', default: '1' },
    context: { type: 'string', default: '128' },
    threads: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20' },
  },
})
const [name = 'gpt2'] = positionals
const shape = decoderShapes[name]
const rows = Number(values.rows ?? (shape ? 1 : 128))
const runs = Number(values.runs)
const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 3 + ((i * 7919) % (vocabSize - 3)))

/** A run of the model, and what is to be disposed afterwards. */
async function open(folder: string): Promise<{ run: () => Promise<void>; end: () => void }> {
  if (!shape) {
    await writeEncoder(name as EncoderName, folder)
    const model = (await AutoModel.fromPretrained(folder, {
      dtype: values.dtype as LoadDType,
      trainable: false,
    })) as EncoderForTask
    const inputIds = Array.from({ length: Number(values.batch) }, () => ids(rows))
    return { run: async () => (await model.run({ inputIds }))[Symbol.dispose](), end: () => model.dispose() }
  }
  const file = join(folder, 'model.gguf')
  await writeDecoder(file, shape, values.dtype.toUpperCase() as GgufWriteType)
  const model = await loadDecoder(file, { dtype: 'auto', trainable: false })
  const context = Number(values.context)
  const decoding = new Decoding(model, { capacity: context + rows + 1 })
  await decoding.append([ids(context)])
  const run = async (): Promise<void> => {
    decoding.truncate(0, context)
    await decoding.append([ids(rows)])
  }
  const end = (): void => {
    decoding.dispose()
    model.dispose()
  }
  return { run, end }
}

interface Group {
  readonly instruction: string
  readonly shapes: string
  readonly flops: number
  readonly bytes: number
  count: number
  ms: number
}

/** By instruction and shapes, the longest first. */
function grouped(profile: readonly InstructionProfile[]): Group[] {
  const groups = new Map<string, Group>()
  for (const { instruction, operands, nanoseconds, calls } of profile) {
    const present = operands.filter((operand) => operand !== undefined)
    const shapes = present.map((operand) => `${operand.dtype[0]}${operand.shape.join('x')}`).join(' ')
    const key = `${instruction} ${shapes}`
    let group = groups.get(key)
    if (!group) {
      const size = (operand: InstructionProfile['operands'][number]): number =>
        operand!.shape.reduce((a, b) => a * b, 1)
      // Rows that are looked up are few, and only a part of a cache is read.
      const known = !/embedding|packedColumns|cache/i.test(instruction)
      const bytes = known ? present.reduce((sum, x) => sum + size(x) * bytesPerElement[x.dtype], 0) : 0
      const inner = operands[0]?.shape.at(-1) ?? 0
      const products = operands[4] ? 2 : 1
      const flops = instruction === 'matmul' ? 2 * inner * size(operands.at(-2)) * products : 0
      groups.set(key, (group = { instruction, shapes, flops, bytes, count: 0, ms: 0 }))
    }
    group.count++
    group.ms += nanoseconds / calls / 1e6
  }
  return [...groups.values()].toSorted((a, b) => b.ms - a.ms)
}

const formatOf: Readonly<Record<string, string>> = {
  f32: 'f32',
  bf16: 'bf16',
  int8: 'int8',
  q8_0: 'int8',
  q4_0: 'int8',
}

native.setThreads(Number(values.threads))
const folder = await mkdtemp(join(tmpdir(), 'heedful-profile-'))
try {
  const { run, end } = await open(folder)
  await run()
  const times: number[] = []
  const [profile] = await profileRuns(async () => {
    for (let i = 0; i < runs; i++) {
      const start = performance.now()
      await run()
      times.push(performance.now() - start)
    }
  })
  using machine = new Machine()
  const read = await machine.bandwidth('read', 'DRAM')
  const format = formatOf[values.dtype] ?? 'f32'
  const compute = await machine.compute(native.computeFormats().includes(format) ? format : 'f32')
  const wall = times.reduce((sum, time) => sum + time) / runs
  const groups = grouped(profile!)
  const inside = groups.reduce((sum, { ms }) => sum + ms, 0)
  console.log(
    `${name} ${values.dtype}, ${values.batch} x ${rows} rows, ${values.threads} thread(s): ${wall.toFixed(3)} ms a run, ${inside.toFixed(3)} of them in ` +
      `${profile!.length} instructions; memory reads ${read.toFixed(1)} GB/s, ${compute.toFixed(0)} GFLOP/s ${format}`,
  )
  for (const { instruction, shapes, flops, bytes, count, ms } of groups) {
    const each = (ms / count) * 1e6
    const roof = Math.max(flops / compute, bytes / read) / each
    console.log(
      `${ms.toFixed(3).padStart(9)} ms ${((100 * ms) / wall).toFixed(1).padStart(5)} %  ${String(count).padStart(3)} x ${(each / 1e3).toFixed(1).padStart(8)} us ` +
        `${(flops / each).toFixed(0).padStart(5)} GFLOP/s ${(bytes / each).toFixed(1).padStart(6)} GB/s ${(100 * roof).toFixed(0).padStart(4)} %  ${instruction} ${shapes}`,
    )
  }
  end()
} finally {
  await rm(folder, { recursive: true })
}
