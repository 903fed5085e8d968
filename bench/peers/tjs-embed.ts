/**
 * Feature extraction by @huggingface/transformers, for bench/peers/sentences.ts: `tjs-embed.ts <threads> <folder with
 * node_modules>`. Requests: { root, model, dtype, texts, milliseconds, output }; answers: { together,
 * single, padded }: ms in one call, by single texts, and by batches of 32. The vectors are written to `output`.
 */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { median } from './child.ts'

type Extract = (texts: readonly string[], options: object) => Promise<{ data: Float32Array }>
interface Transformers {
  env: Record<string, unknown>
  pipeline(task: string, model: string, options: object): Promise<Extract>
}
interface Request {
  readonly root: string
  readonly model: string
  readonly dtype: string
  readonly texts: readonly string[]
  readonly milliseconds: number
  readonly output: string
}

async function main(): Promise<void> {
  const [threads, folder] = [Number(process.argv[2]), resolve(process.argv[3] ?? '.')]
  const base = join(folder, 'node_modules', '@huggingface', 'transformers')
  const { env, pipeline } = (await import(
    pathToFileURL(join(base, 'dist', 'transformers.node.mjs')).href
  )) as Transformers
  process.stdout.write(`${String(env['version'])}\n`)
  let key = ''
  let extract: Extract
  for await (const line of createInterface({ input: process.stdin })) {
    const { root, model, dtype, texts, milliseconds, output } = JSON.parse(line) as Request
    if (key !== root + model + dtype) {
      Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: root })
      const sessionOptions = { intraOpNumThreads: threads, logSeverityLevel: 3 }
      extract = await pipeline('feature-extraction', model, { dtype, session_options: sessionOptions })
      key = root + model + dtype
    }
    const results: number[] = []
    for (const batch of [texts.length, 1, 32]) {
      const all = async (): Promise<Float32Array[]> => {
        const made: Float32Array[] = []
        for (let from = 0; from < texts.length; from += batch)
          made.push((await extract(texts.slice(from, from + batch), { pooling: 'mean', normalize: true })).data)
        return made
      }
      const vectors = await all()
      const bytes = vectors.map((data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))
      await writeFile(output, Buffer.concat(bytes))
      const times: number[] = []
      for (const start = performance.now(); times.length < 1 || performance.now() - start < milliseconds;) {
        const from = performance.now()
        await all()
        times.push(performance.now() - from)
      }
      results.push(median(times))
    }
    const [together, single, padded] = results
    process.stdout.write(`${JSON.stringify({ together, single, padded })}\n`)
  }
}

void main()
