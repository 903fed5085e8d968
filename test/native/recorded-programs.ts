import { compile, grad, GPT, ops, tensor, type Tensor } from '../../lib/index.ts'
import { native } from '../../lib/native/load.ts'
import type { NativeProgram } from '../../lib/native/native.ts'
import { packedColumns, packRows } from '../../lib/ops/packed-rows.ts'
import { adamW, trainingStep } from '../../lib/train/index.ts'

/** What the addon was given for one program. */
export interface Recorded {
  readonly code: readonly number[]
  readonly arenaBytes: number
  readonly bindingBytes: readonly number[]
  readonly capacity: number
  readonly commitIndex: number
}

const f32 = (...shape: number[]): Tensor => tensor.rand(shape, { seed: shape.length })
const i32 = (...values: number[]): Tensor => tensor(Int32Array.from(values))

/** Programs that use every instruction: a training step of a small model, and functions for what it leaves out. */
const functions: readonly (() => void)[] = [
  () => {
    using model = new GPT({ vocabSize: 11, layers: 1, heads: 2, hiddenSize: 8, context: 8, dropout: 0.1, bias: true })
    const parameters = model.parameters()
    const loss = (batch: { tokens: Tensor; targets: Tensor }): Tensor => model.loss(batch)
    using step = trainingStep({ parameters, loss, optimizer: adamW()(parameters), clipNorm: 1 })
    const tokens = tensor.zeros([2, 5], { dtype: 'i32' })
    step.runSync({ batch: { tokens, targets: tokens }, learningRate: 0.1, step: i32(1), seed: i32(1) })
  },
  () => differentiate((x) => ops.softmax(x)),
  () => differentiate((x) => ops.logSoftmax(x, { axis: 0 })),
  () => differentiate((x) => ops.swiglu(x, ops.sine(x))),
  () => differentiate((x) => ops.rmsNorm(x, f32(7))),
  () => differentiate((x) => ops.max(x, { axis: 1 })),
  () => differentiate((x) => ops.min(ops.transpose(ops.reshape(x, [5, 1, 7])), { axis: [0, 2] })),
  () => differentiate((x) => ops.concat([ops.slice(x, 1, 1, 3), ops.pad(x, 1, 2, 0)], 1)),
  () => differentiate((x) => ops.dropout(x, { probability: 0.5, seed: ops.reshape(i32(3), []) })),
  () => differentiate((x) => ops.matmul(ops.transpose(x), ops.cast(ops.cast(x, 'f64'), 'f32'))),
  () => differentiate((x) => ops.matmul(ops.broadcastTo(x, [3, 5, 7]), f32(3, 7, 2), { activation: 'gelu' })),
  () => differentiate((x) => ops.cast(ops.transpose(ops.cast(x, 'bf16')), 'f32')),
  () => differentiate((x) => ops.matmul(x, ops.transpose(f32(3, 7)), { precision: 'bf16' })),
  () => differentiate((x) => ops.matmul(x, ops.quantize(f32(7, 3), 'bf16'))),
  () => differentiate((x) => ops.matmul(x, ops.quantize(f32(7, 3), 'int8'))),
  () => differentiate((x) => ops.matmul(x, ops.quantize(f32(7, 3), 'q4_0'))),
  () => {
    const run = (body: () => Tensor): unknown => compile(body).runSync({})
    run(() => packedColumns(packRows(tensor.zeros([51], { dtype: 'i32' }), [32, 6], 'q8_0'), i32(0, 5, 1)))
    run(() => packedColumns(packRows(tensor.zeros([18], { dtype: 'i32' }), [5, 7], 'bf16'), i32(6)))
  },
  () => differentiate((x) => ops.crossEntropy(x, i32(0, 1, 2, -100, 4), { labelSmoothing: 0.1, reduction: 'none' })),
  () => differentiate((x) => ops.linearCrossEntropy(x, f32(9, 7), i32(0, 1, 2, -100, 8), { bias: f32(9) })),
  () =>
    differentiate((x) =>
      ops.mixtureOfExperts(x, ops.softmax(ops.slice(x, 1, 0, 3)), f32(3, 8, 7), f32(3, 7, 4), { topK: 2 }),
    ),
  () => differentiate((x) => ops.embedding(x, i32(0, 4, 4, 1), { paddingIndex: 1 })),
  () => {
    const [table, m, v, step] = [f32(9, 7), f32(9, 7), f32(9, 7), ops.reshape(i32(1), [])]
    using program = compile(({ rate }: { rate: Tensor }) => {
      const gradient = grad(() => ops.sum(ops.square(ops.embedding(table, i32(0, 4, 4, 1)))), table)({})
      return ops.adamWStep(table, { gradient, m, v, step, learningRate: ops.reshape(rate, []) })
    })
    program.runSync({ rate: f32(1) })
  },
  () =>
    differentiate((x) => {
      const heads = ops.reshape(ops.concat([x, ops.exp(x)], 1), [1, 5, 2, 7]).transpose([0, 2, 1, 3])
      const turned = ops.rotaryEmbedding(heads, i32(0, 1, 2, 3, 4), tensor([1, 0.1]))
      return ops.attention(turned, turned, heads, { causal: true, keyLengths: i32(4) })
    }),
  () => {
    const cache = f32(1, 2, 8, 4)
    const position = i32(3)
    using write = compile(({ x }: { x: Tensor }) => ops.cacheWrite(cache, x, ops.reshape(position, [])))
    write.runSync({ x: f32(1, 2, 3, 4) })
  },
  () => {
    const [position, keyLengths] = [ops.reshape(i32(3), []), i32(6)]
    for (const format of ['f32', 'bf16', 'int8'] as const)
      for (const queries of [1, 9]) {
        const cache = format === 'f32' ? f32(1, 2, 20, 4) : ops.quantizedCache([1, 2, 20, 4], format)
        using attend = compile(({ x }: { x: Tensor }) => {
          const held = ops.cacheWrite(cache, ops.slice(x, 1, 0, 2), position)
          return ops.cachedAttention(x, held, held, { keyLengths })
        })
        attend.runSync({ x: f32(1, 4, queries, 4) })
      }
  },
  () => {
    for (const format of ['f32', 'bf16', 'int8'] as const) {
      const cache = format === 'f32' ? f32(3, 2, 20, 4) : ops.quantizedCache([3, 2, 20, 4], format)
      const where = { offsets: i32(0, 1, 1, 20), slots: i32(2, 1, 0) }
      using attend = compile(({ x }: { x: Tensor }) => {
        const held = ops.cacheWrite(cache, ops.slice(x, 1, 0, 2), i32(3, 2, 0), where)
        ops.cacheCopy(held, { from: i32(0, 0), to: i32(1, 1), lengths: i32(5, 0) })
        const bias = f32(4, 20)
        return [
          ops.cachedAttention(x, held, held, { keyLengths: i32(4, 2, 19), ...where, bias, window: 5, softcap: 2 }),
          ops.cachedAttention(x, held, held, { keyLengths: i32(4, 2, 19), ...where, alibiSlopes: f32(4) }),
        ]
      })
      attend.runSync({ x: f32(1, 4, 20, 4) })
    }
  },
  () => {
    using draw = compile(({ x }: { x: Tensor }) =>
      ops.sample(x, { seed: i32(1, 2, 3), step: i32(4, 5, 6), topK: i32(2, 0, 3), topP: f32(3) }),
    )
    draw.runSync({ x: f32(3, 70) })
  },
  () => {
    using rows = compile(({ x }: { x: Tensor }) => ops.softmax(ops.matmul(x, ops.exp(f32(3, 4)))), {
      rows: { capacity: 9, inputs: ['x'] },
    })
    rows.runSync({ x: f32(4, 3) })
  },
]

function differentiate(fn: (x: Tensor) => Tensor): void {
  const weights = new Map([['x', f32(5, 7)]])
  using program = compile(grad(() => ops.sum(ops.square(fn(weights.get('x')!))), weights))
  program.runSync(undefined as never)
}

/** Calls the functions and keeps what the addon is given meanwhile. */
export function recordPrograms(): Recorded[] {
  const recorded: Recorded[] = []
  const { Program } = native
  class Recorder extends Program {
    readonly #arguments: ConstructorParameters<typeof Program>
    #kept: Parameters<NativeProgram['keep']>[0] = []
    constructor(...args: ConstructorParameters<typeof Program>) {
      super(...args)
      this.#arguments = args
    }
    override keep(bindings: Parameters<NativeProgram['keep']>[0]): void {
      this.#kept = bindings
      super.keep(bindings)
    }
    override runSync(...[bindings, rows]: Parameters<NativeProgram['runSync']>): void {
      const [code, arenaBytes, , capacity, commitIndex] = this.#arguments
      const bindingBytes = [...this.#kept, ...bindings].map(({ byteLength }) => byteLength)
      recorded.push({ code: [...code], arenaBytes, bindingBytes, capacity, commitIndex })
      super.runSync(bindings, rows)
    }
  }
  native.Program = Recorder
  try {
    for (const run of functions) run()
  } finally {
    native.Program = Program
  }
  return recorded
}
