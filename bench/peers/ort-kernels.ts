/**
 * Products in onnxruntime-node, for bench/peers/kernels.ts: `ort-kernels.ts <threads> <folder with node_modules>`. Requests
 * and answers as in torch_kernels.py; `int8` is its dynamic quantization (DynamicQuantizeMatMul, weights of 8 bits with a
 * scale for each column).
 */
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Random } from '../../lib/tensor/random.ts'
import { median } from './child.ts'
import { quantized } from './onnx-encoder.ts'
import { onnxModel, type Constant, type Node } from './onnx-model.ts'

interface Session {
  run(inputs: Record<string, unknown>): Promise<Record<string, { data: Float32Array }>>
  release(): Promise<void>
}
interface Ort {
  InferenceSession: { create(model: Buffer, options: object): Promise<Session> }
  Tensor: new (type: string, data: Float32Array, shape: number[]) => unknown
}

const threads = Number(process.argv[2])
const require = createRequire(join(resolve(process.argv[3] ?? '.'), 'node_modules', 'x.cjs'))
const ort = require('onnxruntime-node') as Ort
const random = new Random(1)
const normal = (length: number): Float32Array => {
  const block = Float32Array.from({ length: Math.min(length, 4093) }, () => random.normal())
  return Float32Array.from({ length }, (_, i) => block[i % 4093]!)
}

const coldBytes = 160 * 2 ** 20

/** The same product by one matrix, or by so many that none is in a cache any more when its turn comes. */
async function make(kind: string, dtype: string, [m, n, k]: number[]) {
  const [x, w] = [normal(m! * k!), normal(k! * n!)]
  const size = k! * n! * (dtype === 'int8' ? 1 : 4)
  const count = kind.endsWith('cold') ? Math.ceil(coldBytes / size) : 1
  const constants: Constant[] = []
  const nodes: Node[] = []
  const rounded = dtype === 'int8' ? quantized(w, k!, n!) : undefined
  for (let i = 0; i < count; i++) {
    const shape = [k!, n!]
    if (rounded) {
      constants.push({ name: `w${i}`, type: 'i8', shape, data: rounded.values })
      constants.push({ name: `s${i}`, type: 'f32', shape: [n!], data: rounded.scales })
      nodes.push({
        type: 'DynamicQuantizeMatMul',
        domain: 'com.microsoft',
        inputs: ['x', `w${i}`, `s${i}`],
        output: `y${i}`,
      })
    } else {
      // Not the same constant twice: they might be made one.
      constants.push({ name: `w${i}`, type: 'f32', shape, data: i ? w.with(0, i) : w })
      nodes.push({ type: 'MatMul', inputs: ['x', `w${i}`], output: `y${i}` })
    }
  }
  const model = onnxModel({
    nodes,
    constants,
    inputs: { x: [m!, k!] },
    outputs: Object.fromEntries(nodes.map(({ output }) => [output, [m!, n!]])),
  })
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: threads, logSeverityLevel: 3 })
  const inputs = { x: new ort.Tensor('float32', x, [m!, k!]) }
  const { y0 } = await session.run(inputs)
  let [difference, all] = [0, 0]
  for (let sample = 0; sample < 128; sample++) {
    const at = Math.floor(((sample * 0.6180339887498949) % 1) * m! * n!)
    let exact = 0
    for (let i = 0; i < k!; i++) exact += x[Math.floor(at / n!) * k! + i]! * w[i * n! + (at % n!)]!
    difference += (y0!.data[at]! - exact) ** 2
    all += exact ** 2
  }
  return { session, inputs, count, error: Math.sqrt(difference / all) }
}

async function main(): Promise<void> {
  const { version } = require('onnxruntime-node/package.json') as { version: string }
  process.stdout.write(`${version}\n`)
  let key = ''
  let made: Awaited<ReturnType<typeof make>> | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const { kind, dtype, sizes, milliseconds } = JSON.parse(line) as Record<string, never>
    const wanted = [kind, dtype, sizes].join()
    if (wanted !== key) {
      await made?.session.release()
      made = await make(kind!, dtype!, sizes!)
      key = wanted
    }
    const times: number[] = []
    for (const start = performance.now(); times.length < 5 || performance.now() - start < Number(milliseconds);) {
      const from = performance.now()
      await made!.session.run(made!.inputs)
      times.push((performance.now() - from) / made!.count)
    }
    process.stdout.write(`${JSON.stringify({ ms: median(times), error: made!.error })}\n`)
  }
}

void main()
