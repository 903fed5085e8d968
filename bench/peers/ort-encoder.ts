/**
 * An encoder in onnxruntime-node, for bench/peers/encoders.ts: `ort-encoder.ts <threads> <folder with node_modules>`.
 * Requests: { folder, dtype, fused, ids, batch, milliseconds, output }; answers: { ms }. The hidden states are written to
 * `output`.
 */
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { median } from './child.ts'
import { onnxOfFolder } from './onnx-encoder.ts'

interface Session {
  run(inputs: Record<string, unknown>): Promise<Record<string, { data: Float32Array }>>
  release(): Promise<void>
}
interface Ort {
  InferenceSession: { create(model: Buffer, options: object): Promise<Session> }
  Tensor: new (type: string, data: BigInt64Array, shape: number[]) => unknown
}
interface Request {
  readonly folder: string
  readonly dtype: string
  readonly fused: boolean
  readonly ids: readonly number[]
  readonly batch: number
  readonly milliseconds: number
  readonly output: string
}

const threads = Number(process.argv[2])
const require = createRequire(join(resolve(process.argv[3] ?? '.'), 'node_modules', 'x.cjs'))
const ort = require('onnxruntime-node') as Ort

async function open({ folder, dtype, fused }: Request): Promise<Session> {
  const model = await onnxOfFolder(folder, { fused, int8: dtype === 'int8' })
  return ort.InferenceSession.create(model, { intraOpNumThreads: threads, logSeverityLevel: 3 })
}

async function main(): Promise<void> {
  const { version } = require('onnxruntime-node/package.json') as { version: string }
  process.stdout.write(`${version}\n`)
  let key = ''
  let session: Session | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request
    const { ids, batch, milliseconds, output } = request
    const wanted = [request.folder, request.dtype, request.fused].join()
    if (wanted !== key) {
      await session?.release()
      session = await open(request)
      key = wanted
    }
    const shape = [batch, ids.length / batch]
    const given = (value: (i: number) => number): unknown =>
      new ort.Tensor(
        'int64',
        BigInt64Array.from(ids, (_, i) => BigInt(value(i))),
        shape,
      )
    const inputs = { ids: given((i) => ids[i]!), positions: given((i) => i % shape[1]!), types: given(() => 0) }
    const { hidden } = await session!.run(inputs)
    await writeFile(output, Buffer.from(hidden!.data.buffer, hidden!.data.byteOffset, hidden!.data.byteLength))
    const times: number[] = []
    for (const start = performance.now(); times.length < 3 || performance.now() - start < milliseconds;) {
      const from = performance.now()
      await session!.run(inputs)
      times.push(performance.now() - from)
    }
    process.stdout.write(`${JSON.stringify({ ms: median(times) })}\n`)
  }
}

void main()
