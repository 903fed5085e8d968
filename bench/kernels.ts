/**
 * The matrix product and fused attention at the shapes of real transformers, as a fraction of the peak that is measured
 * in the same run. `npx tsx bench/kernels.ts [--threads 1] [--json]`
 */
import { parseArgs } from 'node:util'
import { compile, ops, tensor, type Tensor } from '../lib/index.ts'
import { native } from '../lib/native/load.ts'

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, threads: { type: 'string', default: '1' } },
})
const threads = Number(values.threads)

/** M, N, K of the layers of GPT-2 and BERT at 128 and 512 tokens, and squares. */
const products: [number, number, number][] = [
  [128, 768, 768],
  [128, 3072, 768],
  [128, 768, 3072],
  [128, 2304, 768],
  [512, 3072, 768],
  [512, 512, 512],
  [1024, 1024, 1024],
  [16, 768, 768],
]
/** Heads, length, head dimension. */
const attentions: [number, number, number][] = [
  [12, 512, 64],
  [12, 2048, 64],
]

/** Seconds of one instruction: the median of several runs. Its output stays in the arena, as in a model. */
function seconds(
  instruction: string,
  inputs: Record<string, Tensor>,
  body: (given: Record<string, Tensor>) => Tensor,
): number {
  using program = compile((given: Record<string, Tensor>) => ops.slice(ops.reshape(body(given), [-1]), 0, 0, 1))
  const times: number[] = []
  for (let run = 0; run < 25; run++) {
    program.setProfiling(true)
    program.runSync(inputs).dispose()
    times.push(program.profile().find((p) => p.instruction === instruction)!.nanoseconds * 1e-9)
    program.setProfiling(false)
  }
  return times.sort((a, b) => a - b)[12]!
}

function report(name: string, shape: string, flops: number, time: number, peak: number): void {
  const gflops = (flops / time) * 1e-9
  const figures = {
    op: name,
    shape,
    isa: native.isa(),
    threads,
    ms: time * 1e3,
    gflops,
    peak: peak * threads,
    fraction: gflops / (peak * threads),
  }
  const line = values.json
    ? JSON.stringify(figures)
    : `${native.isa().padEnd(7)} ${name.padEnd(17)} ${shape.padEnd(16)} ${figures.ms.toFixed(3).padStart(9)} ms ${gflops.toFixed(1).padStart(7)} GFLOP/s ${(100 * figures.fraction).toFixed(1).padStart(5)} % of ${figures.peak.toFixed(0)}`
  process.stdout.write(`${line}\n`)
}

native.setThreads(threads)
for (const isa of native.availableIsas().filter((name) => name !== 'scalar')) {
  native.setIsa(isa)
  for (const [m, n, k] of products) {
    const [x, w, wt] = [tensor.randn([m, k]), tensor.randn([k, n]), tensor.randn([n, k])]
    const flops = 2 * m * n * k
    report(
      'matmul',
      `${m}x${n}x${k}`,
      flops,
      seconds('matmul', { x, w }, (t) => ops.matmul(t['x']!, t['w']!)),
      native.measurePeak(),
    )
    report(
      'matmul (out, in)',
      `${m}x${n}x${k}`,
      flops,
      seconds('matmul', { x, wt }, (t) => ops.matmul(t['x']!, ops.transpose(t['wt']!))),
      native.measurePeak(),
    )
  }
  for (const [heads, length, dim] of attentions)
    for (const causal of [false, true]) {
      const [q, k, v] = [0, 1, 2].map(() => tensor.randn([1, heads, length, dim])) as [Tensor, Tensor, Tensor]
      const useful = causal ? (length + 1) / (2 * length) : 1
      const time = seconds('attention', { q, k, v }, (t) => ops.attention(t['q']!, t['k']!, t['v']!, { causal }))
      report(
        causal ? 'attention causal' : 'attention',
        `${heads}x${length}x${dim}`,
        4 * heads * length * length * dim * useful,
        time,
        native.measurePeak(),
      )
    }
}
