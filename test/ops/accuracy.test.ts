import { describe, expect, it } from 'vitest'
import { erf, exp, gelu, reciprocalSquareRoot, sigmoid, tanh } from '../../lib/ops/index.ts'
import { runtime } from '../../lib/runtime.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'

/** Every so-many-th float; HEEDFUL_SWEEP=1 takes them all. Odd, so that all mantissas come up. */
const step = Number(process.env['HEEDFUL_SWEEP'] ?? 4001)
const block = 1 << 20
const sweeping = step === 1 ? { timeout: 3_600_000 } : {}

interface Given {
  op(x: Tensor): Tensor
  /** What the reference gives in f64 unless said. */
  exact?(x: number): number
  from: number
  to: number
  ulps: number
  plainUlps: number
}

/** Largest errors in units in the last place, with and without fused multiply-adds, over all floats of a range. */
const functions: Record<string, Given> = {
  'exp, x < 0': { op: exp, exact: Math.exp, from: -0, to: -87, ulps: 2, plainUlps: 3 },
  'exp, x > 0': { op: exp, exact: Math.exp, from: 0, to: 88.7, ulps: 2, plainUlps: 3 },
  tanh: { op: tanh, exact: Math.tanh, from: 1e-30, to: 20, ulps: 2, plainUlps: 4 },
  erf: { op: erf, from: 1e-30, to: 6, ulps: 2, plainUlps: 2 },
  reciprocalSquareRoot: { op: reciprocalSquareRoot, exact: (x) => 1 / Math.sqrt(x), from: 1e-30, to: 1e30, ulps: 1.5, plainUlps: 1.5 },
  'sigmoid, x < 0': { op: sigmoid, exact: (x) => 1 / (1 + Math.exp(-x)), from: -0, to: -87, ulps: 3.5, plainUlps: 4 },
  // Further off Φ is denormal.
  'gelu, x < 0': { op: gelu, from: -1e-30, to: -12.9, ulps: 2.75, plainUlps: 90 },
  'gelu, x > 0': { op: gelu, from: 1e-30, to: 20, ulps: 2, plainUlps: 3 },
} // prettier-ignore

const bits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]!

/** The largest error over the floats from `from` to `to`, away from 0. */
function worst({ op, exact, from, to }: Given): { ulps: number; at: number } {
  const [begin, end] = [bits(from), bits(to)]
  let [ulps, at] = [0, NaN]
  for (let first = begin; first <= end; first += step * block) {
    const count = Math.min(block, Math.floor((end - first) / step) + 1)
    const x = new Float32Array(Uint32Array.from({ length: count }, (_, i) => first + i * step).buffer)
    const y = op(fromData(x)).data()
    const reference = exact ? Float64Array.from(x, exact) : op(fromData(Float64Array.from(x))).data()
    for (let i = 0; i < count; i++) {
      const expected = reference[i]!
      const unit = 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(expected)))) - 23)
      const error = Math.abs(y[i]! - expected) / unit
      if (!(error <= ulps)) [ulps, at] = [error, x[i]!]
    }
  }
  return { ulps, at }
}

describe.each(runtime.availableIsas())('%s', (name) => {
  it.each(Object.keys(functions))('%s is as exact as documented', sweeping, (which) => {
    const before = runtime.isa()
    runtime.setIsa(name)
    try {
      const given = functions[which]!
      const { ulps, at } = worst(given)
      if (process.env['HEEDFUL_SWEEP']) console.log(`${name} ${which}: ${ulps.toFixed(2)} ulp at ${at}`)
      expect(ulps, `at ${at}`).toBeLessThanOrEqual(name === 'scalar' ? given.plainUlps : given.ulps)
    } finally {
      runtime.setIsa(before)
    }
  })
})
