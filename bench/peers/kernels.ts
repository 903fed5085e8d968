/**
 * The cases of `heedful bench` beside PyTorch (MKL, oneDNN) and onnxruntime-node: the same shapes, in turns in one run,
 * medians. README.md beside this tells how to install them.
 *
 *     npx tsx bench/peers/kernels.ts [op…] [--dtype f32,bf16] [--threads 1,2] [--rounds 5] [--time 100] [--peers <folder>] [--json]
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cases, Machine, type Case } from '../../lib/bench/index.ts'
import { runCase } from '../../lib/bench/run-case.ts'
import { native } from '../../lib/native/load.ts'
import { median, startPeer, type Peer } from './child.ts'

interface Request {
  readonly peer: 'PyTorch' | 'onnxruntime'
  readonly kind: string
  readonly dtype: string
}

const torch = (kind: string, dtype = 'f32'): Request => ({ peer: 'PyTorch', kind, dtype })
const ort = (kind: string, dtype = 'f32'): Request => ({ peer: 'onnxruntime', kind, dtype })

/** What the others do for each family; for formats that they have no product of, the nearest one they have. */
function requestsOf({ op, name, dtype }: Case): readonly Request[] {
  const has = (variant: string): boolean => name.endsWith(`, ${variant}`)
  if (op === 'matmul' && name.includes('SwiGLU')) return []
  if (op === 'matmul') {
    const byPacked = (kind: string): Request[] =>
      dtype === 'f32'
        ? [torch(kind), torch(`${kind}, oneDNN`), ort(kind)]
        : dtype === 'bf16'
          ? [torch(kind, 'bf16'), torch(`${kind}, oneDNN`), ort(kind)]
          : [ort(kind, 'int8'), torch(`${kind}, oneDNN`)]
    if (has('packed')) return byPacked('linear')
    if (has('packed, cold') || has('packed, decode')) return byPacked('linear, cold')
    if (dtype !== 'f32') return []
    if (has('cold weights') || has('decode, weights (out, in)')) return [torch('linear, cold')]
    if (has('backward dX = dY·Wᵀ') || has('weights (out, in)')) return [torch('product, transposed b')]
    if (has('backward dW = Xᵀ·dY')) return [torch('product, transposed a')]
    return [torch('product')]
  }
  if (dtype !== 'f32') return []
  if (op === 'attention') {
    const variant = ['causal backward', 'backward', 'causal', 'decode'].find(has)
    return /Llama|MiniLM/.test(name) && variant === 'decode' ? [] : [torch(variant ? `attention, ${variant}` : op)]
  }
  const plain = 'softmax layerNorm rmsNorm gelu geluTanh silu exp tanh add swiglu crossEntropy adamWStep'.split(' ')
  return plain.includes(op) && !/backward|,.*,/.test(name) ? [torch(op)] : []
}

interface Answer {
  readonly ms: number
  readonly error: number | null
}

const { values, positionals: ops } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: 'string' },
    json: { type: 'boolean', default: false },
    peers: { type: 'string', default: '.' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '1,2' },
    time: { type: 'string', default: '100' },
  },
})
const [rounds, milliseconds] = [Number(values.rounds), Number(values.time)]

/** Until the threads of whoever was before have stopped spinning. */
const settle = (): Promise<void> => setTimeout(60)

async function compare(given: Case, peers: Record<Request['peer'], Peer>, machine: Machine) {
  const requests = requestsOf(given)
  const own: Awaited<ReturnType<typeof runCase>>[] = []
  const answers: Answer[][] = requests.map(() => [])
  const sizes = given.shape.split('x').map(Number)
  for (let round = 0; round < rounds; round++) {
    await settle()
    own.push(await runCase(given, { machine, time: milliseconds }))
    for (const [i, { peer, kind, dtype }] of requests.entries()) {
      await settle()
      answers[i]!.push(
        JSON.parse(await peers[peer].ask(JSON.stringify({ kind, dtype, sizes, milliseconds }))) as Answer,
      )
    }
  }
  const ms = median(own.map((result) => result.ms))
  return {
    op: given.op,
    name: given.name,
    shape: given.shape,
    dtype: given.dtype,
    isa: native.isa(),
    threads: native.threads(),
    ms,
    roofline: median(own.map(({ roofline = 0 }) => roofline)),
    error: own[0]!.error ?? null,
    peers: requests.map(({ peer, kind, dtype }, i) => {
      const theirs = median(answers[i]!.map((answer) => answer.ms))
      return {
        peer: kind.endsWith('oneDNN') ? `${peer} (oneDNN)` : peer,
        dtype,
        ms: theirs,
        ratio: theirs / ms,
        error: answers[i]![0]!.error,
      }
    }),
  }
}

type Comparison = Awaited<ReturnType<typeof compare>>

function lineOf({ op, name, shape, dtype, ms, error, peers }: Comparison): string {
  const errorOf = (x: number | null): string => (x === null ? '' : ` (error ${x.toExponential(1)})`)
  const others = peers.map(
    (other) =>
      `${other.peer} ${other.dtype} ${other.ms.toPrecision(4)}${errorOf(other.error)} ${other.ratio.toFixed(2)} x`,
  )
  return `${op}  ${name}  ${shape}  ${dtype} ${ms.toPrecision(4)} ms${errorOf(error)}  ${others.join('  ')}`
}

/** Of each dtype and peer: the median of the ratios and the least. */
function summary(all: readonly Comparison[]): string[] {
  const ratios = new Map<string, number[]>()
  for (const { op, dtype, threads, peers } of all) {
    const best = new Map<string, number>()
    for (const other of peers) best.set(other.dtype, Math.min(best.get(other.dtype) ?? Infinity, other.ratio))
    for (const [theirs, ratio] of best) {
      const key = `${op} ${dtype}, ${threads} thread${threads > 1 ? 's' : ''}, beside the best in ${theirs}`
      ratios.set(key, [...(ratios.get(key) ?? []), ratio])
    }
  }
  return [...ratios].map(
    ([key, list]) => `${key}: ${median(list).toFixed(2)} x, least ${Math.min(...list).toFixed(2)} x`,
  )
}

async function main(): Promise<void> {
  const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))
  const dtypes = values.dtype?.split(',')
  const chosen = cases.filter(
    (given) =>
      requestsOf(given).length && (!ops.length || ops.includes(given.op)) && (!dtypes || dtypes.includes(given.dtype)),
  )
  const all: Comparison[] = []
  for (const threads of values.threads.split(',').map(Number)) {
    native.setThreads(threads)
    const python = process.env['PY'] ?? join(values.peers, 'venv', 'bin', 'python')
    const missing = 'did not run; see bench/peers/README.md'
    const peers = {
      PyTorch: await startPeer(python, [here('torch_kernels.py'), String(threads)], threads, `PyTorch ${missing}`),
      onnxruntime: await startPeer(
        process.execPath,
        ['--import', 'tsx', here('ort-kernels.ts'), String(threads), values.peers],
        threads,
        `onnxruntime-node ${missing}`,
      ),
    }
    using machine = new Machine()
    if (!values.json)
      process.stdout.write(
        `${native.isa()}, ${threads} threads; PyTorch ${peers.PyTorch.version}, onnxruntime-node ${peers.onnxruntime.version}\n`,
      )
    for (const given of chosen) {
      const comparison = await compare(given, peers, machine)
      all.push(comparison)
      process.stdout.write(`${values.json ? JSON.stringify(comparison) : lineOf(comparison)}\n`)
    }
    for (const peer of Object.values(peers)) peer.end()
  }
  if (!values.json) process.stdout.write(`\n${summary(all).join('\n')}\n`)
}

void main()
