import { beforeAll, describe, expect, it } from 'vitest'
import { native } from '../../lib/native/load.ts'
import { activations } from '../../lib/ops/elementwise.ts'
import { registry } from '../../lib/ops/define-op.ts'
import { families } from './cases/index.ts'
import { forwardOf, gradientOf } from './suite.ts'

/** What the cases make of f32 tensors, forward and backward. */
const operations = new Set<string>()
/** Instructions, as `unary exp`, `matmul gelu gradient`, `copy`. */
const instructions = new Set<string>()

const functionLists: Readonly<Record<string, readonly string[]>> = {
  unary: native.unaryFunctions,
  unaryGradient: native.unaryFunctions,
  gated: native.unaryFunctions,
  gatedGradient: native.unaryFunctions,
  matmul: native.unaryFunctions,
  binary: native.binaryFunctions,
  reduce: native.reduceFunctions,
}

beforeAll(() => {
  for (const given of Object.values(families).flat())
    for (const subject of [forwardOf(given), gradientOf(given)]) {
      if (!subject) continue
      using f32 = subject.program('f32')
      for (const name of f32.operations) operations.add(name)
      for (const { name, attributes } of f32.instructions) {
        const list = functionLists[name]
        instructions.add(name)
        if (list)
          instructions.add(`${name} ${list[attributes[0]!]}${name === 'matmul' && attributes[1] ? ' gradient' : ''}`)
      }
    }
}, 60_000)

describe('every operation has cases', () => {
  it.each([...registry.keys()])('%s', (name) => expect(operations).toContain(name))
})

describe('every native instruction runs', () => {
  it.each(native.operations.map(({ name }) => name))('%s', (name) => expect(instructions).toContain(name))
})

describe('every function of the addon runs', () => {
  const inProducts = Object.keys(activations)
  const expected = [
    // The identity is what a product without activation has.
    ...native.unaryFunctions.filter((f) => f !== 'identity').flatMap((f) => [`unary ${f}`, `unaryGradient ${f}`]),
    ...native.binaryFunctions.map((f) => `binary ${f}`),
    ...native.reduceFunctions.map((f) => `reduce ${f}`),
    ...inProducts.flatMap((f) => [`matmul ${f}`, `matmul ${f} gradient`, `gated ${f}`, `gatedGradient ${f}`]),
    'matmul identity',
  ]
  it.each(expected)('%s', (name) => expect(instructions).toContain(name))
})
