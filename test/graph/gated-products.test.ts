import { describe, it } from 'vitest'
import { ops, tensor, type Tensor } from '../../lib/index.ts'
import { expectGradients, expectRewritten, type Named } from './rewritten.ts'

const x = tensor.randn([6, 16], { seed: 1 })
const w = tensor.randn([16, 24], { seed: 2 })
const bias = tensor.randn([24], { seed: 4 })
const { matmul, sum, tanh } = ops

describe('a gate in the epilogue of a product', () => {
  const packed = (seed: number, columns = 24, format: ops.WeightFormat = 'f32'): ops.QuantizedMatrix =>
    ops.quantize(tensor.randn([16, columns], { seed }), format)
  const [g, u] = [packed(15), packed(16)]
  const halves = (y: Tensor): Tensor => {
    const [gate, up] = ops.split(y, 2)
    return ops.geglu(gate!, up!)
  }
  const biases = tensor.randn([128], { seed: 17 })

  it('multiplies there, of two packed matrices or a joined one', () => {
    expectRewritten(({ x }) => ops.swiglu(matmul(x!, g), matmul(x!, u)), { x }, ['matmul'])
    expectRewritten(({ x, bias }) => ops.swiglu(matmul(x!, g, { bias: bias! }), matmul(x!, u)), { x, bias }, ['matmul'])
    const joined = packed(18, 128)
    expectRewritten(({ x, biases }) => halves(matmul(x!, joined, { bias: biases! })), { x, biases }, ['matmul'])
  })

  it('does not where the backward pass reads the products', () => {
    const loss = ({ x }: Named): Tensor => sum(tanh(ops.swiglu(matmul(x!, g), matmul(x!, u))))
    expectGradients(loss, { x }, { gated: 1, gatedGradient: 1, matmul: 4 })
    const joined = packed(18, 128)
    expectGradients(({ x }) => sum(tanh(halves(matmul(x!, joined)))), { x }, { gated: 1, gatedGradient: 1, matmul: 2 })
  })

  it('does not when the matrices are not packed, of two formats, of two left sides, or one product is wanted', () => {
    const plain = (t: Named): Tensor => ops.swiglu(matmul(t['x']!, t['w']!), matmul(t['x']!, t['up']!))
    expectRewritten(plain, { x, w, up: w }, ['matmul', 'matmul', 'gated'])
    const other = packed(16, 24, 'f16')
    expectRewritten(({ x }) => ops.swiglu(matmul(x!, g), matmul(x!, other)), { x }, ['matmul', 'matmul', 'gated'])
    const sides = ({ x, y }: Named): Tensor => ops.swiglu(matmul(x!, g), matmul(y!, u))
    expectRewritten(sides, { x, y: tensor.ones([6, 16]) }, ['matmul', 'matmul', 'gated'])
    const both = ({ x }: Named): Tensor[] => {
      const up = matmul(x!, u)
      return [ops.swiglu(matmul(x!, g), up), up]
    }
    expectRewritten(both, { x }, ['matmul', 'matmul', 'gated'])
    const self = ({ x }: Named): Tensor => {
      const y = matmul(x!, g)
      return ops.swiglu(y, y)
    }
    expectRewritten(self, { x }, ['matmul', 'gated'])
  })

  it('does not cut a panel', () => {
    const joined = packed(19, 48)
    expectRewritten(({ x }) => halves(matmul(x!, joined)), { x }, ['matmul', 'gated'])
  })
})
