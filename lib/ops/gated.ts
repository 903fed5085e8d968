import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkShapeOf, checkTensor, defineOp, functionIndex, like } from './define-op.ts'
import type { Activation } from './elementwise.ts'
import { checkActivation } from './matmul.ts'

const attributes = ({ function: f }: { readonly function?: unknown }): number[] => [functionIndex('unaryFunctions', f)]

const gatedGradientOp = defineOp({
  name: 'gatedGradient',
  operands: [
    { name: 'gate', kind: 'float' },
    { name: 'up', kind: 'float' },
    { name: 'gradOutput', kind: 'float' },
  ],
  outputs: [
    { name: 'gradGate', inPlace: ['gate'] },
    { name: 'gradUp', inPlace: ['up', 'gradOutput'] },
  ],
  infer: ([gate]) => [like(gate!), like(gate!)],
  lowering: { kind: 'instruction', instruction: 'gatedGradient', attributes },
})

const gatedOp = defineOp({
  name: 'gated',
  operands: [
    { name: 'gate', kind: 'float' },
    { name: 'up', kind: 'float' },
  ],
  outputs: [{ name: 'y', inPlace: ['gate', 'up'] }],
  infer: ([gate, up]) => {
    checkShapeOf('gated', 'up', up!, gate!.shape)
    return [like(gate!)]
  },
  gradient: ({ inputs: [gate, up], gradOutputs: [gradient], attributes: { function: f } }) =>
    apply(gatedGradientOp, [gate, up, gradient], { function: f }, [0, 1]),
  lowering: { kind: 'instruction', instruction: 'gated', attributes },
})

/** f(gate) ⊙ up (Shazeer 2020): `swiglu` with silu, `geglu` with gelu. Shapes are equal. */
export function gated(activation: Activation, gate: Tensor, up: Tensor): Tensor {
  checkTensor('gated', 'gate', gate)
  checkTensor('gated', 'up', up)
  return apply(gatedOp, [gate, up], { function: checkActivation('gated', activation) })[0]!
}

/** silu(gate) ⊙ up */
export const swiglu = (gate: Tensor, up: Tensor): Tensor => gated('silu', gate, up)
/** gelu(gate) ⊙ up */
export const geglu = (gate: Tensor, up: Tensor): Tensor => gated('gelu', gate, up)
