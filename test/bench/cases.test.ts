import { describe, expect, it } from 'vitest'
import { cases, families, unbenched } from '../../lib/bench/cases/index.ts'
import { caseOf, isCold, type Case } from '../../lib/bench/case.ts'
import { oneOf, repeatsOf } from '../../lib/bench/run-case.ts'
import { removeDeadNodes, type Graph } from '../../lib/graph/graph.ts'
import { lower } from '../../lib/graph/lower.ts'
import { rewrite } from '../../lib/graph/rewrites/index.ts'
import { Trace, withTrace, type TracedTensor, type Value } from '../../lib/graph/trace.ts'
import { registry } from '../../lib/ops/define-op.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

/** What a case computes, without memory for it; `read`: what is done with that. */
function trace(given: Case, read = (made: Tensor): Tensor => made): { graph: Graph; inputs: Value[] } {
  const trace = new Trace()
  const tracedOf = (inputs: Case['inputs'] = {}): Record<string, TracedTensor> =>
    Object.fromEntries(
      Object.entries(inputs).map(([name, { shape, dtype }]) => [name, trace.input({ shape, dtype }, false)]),
    )
  const [inputs, raw] = [tracedOf(given.inputs), tracedOf(given.raw)]
  const output = withTrace(trace, () => read(given.run(inputs, given.prepare?.(raw) ?? {}))) as TracedTensor
  return {
    graph: removeDeadNodes({ nodes: trace.nodes, outputs: [output.value] }),
    inputs: [...Object.values(inputs), ...Object.values(raw)].map(({ value }) => value),
  }
}

describe('every operation is benched, or there is a reason why not', () => {
  const benched = new Set(cases.flatMap((given) => trace(given).graph.nodes.map(({ definition }) => definition.name)))
  it.each([...registry.keys()])('%s', (name) => expect(benched.has(name) || name in unbenched).toBe(true))
  it.each(Object.keys(unbenched))('the reason for %s is about an operation that exists', (name) =>
    expect([...registry.keys()]).toContain(name),
  )
})

describe('cases', () => {
  it.each(cases.map((given) => [given.op, given.name, given.shape, given.dtype, given] as const))(
    '%s: %s, %s, %s',
    (_op, _name, _shape, _dtype, given) => {
      const { graph, inputs } = trace(given)
      const instructions = lower(rewrite(graph), inputs).instructions.map(({ name }) => name)
      expect(instructions.filter((name) => name === given.instruction)).toHaveLength(1)
      const { flops, read, written, updated } = given.work
      for (const count of [flops, read, written, updated]) expect(count).toBeGreaterThanOrEqual(0)
      expect(read + written + updated).toBeGreaterThan(0)
      // Nothing can be read, written and updated that is not there.
      const sizes = inputs.map(({ shape }) => 4 * shape.reduce((a, b) => a * b, 1))
      expect(read + updated).toBeLessThanOrEqual(sizes.reduce((a, b) => a + b, 0) + 3 * written)
      expect(repeatsOf(given)).toBeGreaterThanOrEqual(1)
      expect(trace(given, oneOf).graph.outputs[0]!.shape).toEqual([])
    },
  )

  it('count what the formulas say', () => {
    const workOf = (op: string, variant: string | undefined, ...sizes: number[]) =>
      caseOf(
        families.find((family) => family.op === op && family.variant === variant)!,
        { name: op, sizes },
      ).work
    expect(workOf('matmul', undefined, 2, 3, 5)).toEqual({ flops: 60, read: 4 * (10 + 15), written: 24, updated: 0 })
    expect(workOf('attention', undefined, 2, 3, 5)).toEqual({
      flops: 4 * 2 * 9 * 5,
      read: 360,
      written: 120,
      updated: 0,
    })
    expect(workOf('attention', 'causal', 2, 3, 5).flops).toBe(4 * 2 * 6 * 5)
    expect(workOf('attention', 'bias', 2, 3, 5).read).toBe(360 + 4 * 2 * 3 * 3)
    // Of 300 tokens the first 256 see all before them, the others 256.
    expect(workOf('attention', 'causal, window 256', 1, 300, 1).flops).toBe(4 * ((256 * 257) / 2 + 44 * 256))
    expect(workOf('attention', 'causal backward', 2, 3, 5).flops).toBe(10 * 2 * 6 * 5)
    expect(workOf('adamWStep', undefined, 2, 3)).toMatchObject({ read: 24, written: 0, updated: 72 })
    expect(workOf('layerNorm', undefined, 2, 3)).toMatchObject({ read: 24, written: 24 })
  })

  it('have the shapes of GPT-2, BERT-base, MiniLM and Llama-1B, and a few that are quick', () => {
    for (const model of ['GPT-2', 'BERT-base', 'MiniLM', 'Llama-1B'])
      expect(cases.some(({ name }) => name.includes(model))).toBe(true)
    const quick = cases.filter((given) => given.quick)
    expect(quick.length).toBeGreaterThan(20)
    expect(quick.length).toBeLessThan(60)
  })

  it('take cold weights from memory that no cache holds', () => {
    const cold = cases.filter(({ inputs, raw }) => isCold(inputs) || isCold(raw))
    expect(cold.length).toBeGreaterThan(4)
    for (const given of cold) expect(repeatsOf(given) * given.work.read).toBeGreaterThan(128 * 2 ** 20)
  })
})
