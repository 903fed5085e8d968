import { afterEach, describe, expect, it } from 'vitest'
import { compile, ops, runtime, tensor, valueAndGrad, type Tensor } from '../../lib/index.ts'
import { deviation } from '../reference/deviation.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterEach(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

const inputs = {
  x: tensor.randn([33, 70], { seed: 1 }),
  w: tensor.randn([90, 70], { seed: 2 }),
  bias: tensor.randn([90], { seed: 3 }),
  v: tensor.randn([90, 41], { seed: 4 }),
}
type Inputs = Record<keyof typeof inputs, Tensor>

const loss =
  (options: ops.MatmulOptions = {}) =>
  ({ x, w, bias, v }: Inputs): Tensor => {
    const hidden = ops.matmul(x, ops.transpose(w), { bias, activation: 'gelu', ...options })
    return ops.mean(ops.square(ops.matmul(hidden, v, options)))
  }

/** The loss and its gradients as one list of numbers, and the instructions. */
function run<Given extends Record<string, Tensor> = Inputs>(
  fn: (given: Given) => Tensor,
  precision: 'f32' | 'bf16',
  given: Record<string, Tensor> = inputs,
): { numbers: number[]; instructions: readonly string[] } {
  const both = (traced: Record<string, Tensor>) => valueAndGrad(() => fn(traced as Given), traced)({})
  using program = compile(both, { precision })
  const { value, grads } = program.runSync(given)
  const numbers = [value, ...Object.values(grads as Record<string, Tensor>)].flatMap((t) => [...t.data()])
  return { numbers, instructions: program.instructions }
}

const heads = {
  q: tensor.randn([2, 4, 70, 24], { seed: 7 }),
  k: tensor.randn([2, 2, 300, 24], { seed: 8 }),
  v: tensor.randn([2, 2, 300, 40], { seed: 9 }),
}
const attentionLoss =
  (options: ops.AttentionOptions = {}) =>
  ({ q, k, v }: Record<keyof typeof heads, Tensor>): Tensor =>
    ops.mean(ops.square(ops.attention(q, k, v, { causal: true, ...options })))

describe('compile with the precision bf16', () => {
  it('rounds the operands of every product, forward and backward, and fuses as ever', () => {
    const lowered = run(loss(), 'bf16')
    expect(lowered.numbers).toEqual(run(loss({ precision: 'bf16' }), 'f32').numbers)
    const full = run(loss(), 'f32')
    expect(lowered.instructions).toEqual(full.instructions)
    const off = deviation(lowered.numbers, full.numbers)
    expect(off).toBeGreaterThan(1e-4)
    expect(off).toBeLessThan(2e-2)
  })

  it('gives the products of rounded operands', () => {
    const rounded = (x: Tensor): Tensor => ops.cast(ops.cast(x, 'bf16'), 'f32')
    using lowered = compile(({ x, v }: { x: Tensor; v: Tensor }) => ops.matmul(x, v), { precision: 'bf16' })
    const given = { x: tensor.randn([40, 90], { seed: 5 }), v: inputs.v }
    const expected = ops.matmul(rounded(given.x), rounded(given.v))
    expect(deviation(lowered.runSync(given).data(), expected.data())).toBeLessThan(1e-6)
  })

  it('agrees between instruction sets, and has the same bits on any number of threads', () => {
    const expected = run(loss(), 'bf16').numbers
    for (const isa of runtime.availableIsas()) {
      runtime.setIsa(isa)
      const first = run(loss(), 'bf16').numbers
      // Numbers between two products that fall to the other side of a bfloat16 differ by 2⁻⁸ of one term among many.
      expect(deviation(first, expected)).toBeLessThan(1e-3)
      for (const threads of [1, 2, 3]) {
        runtime.setThreads(threads)
        expect(run(loss(), 'bf16').numbers).toEqual(first)
      }
    }
  })

  it('rounds in attention, forward and backward, alike on every instruction set and any number of threads', () => {
    // The loss itself would outweigh its gradients.
    const off = (a: readonly number[], b: readonly number[]): number => deviation(a.slice(1), b.slice(1))
    const full = run(attentionLoss(), 'f32', heads).numbers
    const rounded = (x: Tensor): Tensor => ops.cast(ops.cast(x, 'bf16'), 'f32')
    const operands = Object.fromEntries(Object.entries(heads).map(([name, x]) => [name, rounded(x)]))
    const expected = run(attentionLoss(), 'f32', operands).numbers
    for (const isa of runtime.availableIsas()) {
      runtime.setIsa(isa)
      const lowered = run(attentionLoss(), 'bf16', heads)
      expect(lowered).toEqual(run(attentionLoss({ precision: 'bf16' }), 'f32', heads))
      expect(off(lowered.numbers, full)).toBeGreaterThan(1e-3)
      // Beside the operands, weights and gradients of scores are rounded: 2⁻⁹ of each at most, 2⁻¹⁰ in the mean.
      expect(off(lowered.numbers, expected)).toBeLessThan(2 ** -9)
      for (const threads of [2, 3]) {
        runtime.setThreads(threads)
        expect(run(attentionLoss(), 'bf16', heads).numbers).toEqual(lowered.numbers)
      }
      runtime.setThreads(1)
    }
  })

  it('leaves quantized products as their format says', () => {
    const packed = ops.quantize(inputs.v, 'f32')
    const product = ({ x }: { x: Tensor }): Tensor => ops.matmul(x, packed)
    using lowered = compile(product, { precision: 'bf16' })
    const x = tensor.randn([9, 90], { seed: 6 })
    expect(lowered.runSync({ x }).data()).toEqual(product({ x }).data())
  })

  it('refuses others', () => {
    expect(() => compile(loss(), { precision: 'f16' as never })).toThrow(
      'compile: precision should be one of f32, bf16, got "f16"',
    )
    expect(() => ops.attention(heads.q, heads.k, heads.v, { precision: 'f16' as never })).toThrow(
      'attention: precision should be one of f32, bf16, got "f16"',
    )
    expect(() => ops.matmul(inputs.x, ops.quantize(inputs.w.transpose(), 'bf16'), { precision: 'bf16' })).toThrow(
      'does not go with a matrix quantized to bf16',
    )
  })
})
