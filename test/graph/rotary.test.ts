import { describe, expect, it } from 'vitest'
import { ops, tensor, valueAndGrad, type Tensor } from '../../lib/index.ts'
import { count, expectRewritten, instructionsOf, type Named } from './rewritten.ts'

const [q, k, v] = [1, 2, 3].map((seed) => tensor.randn([1, 2, 9, 8], { seed })) as [Tensor, Tensor, Tensor]
const positions = tensor([0, 1, 2, 3, 4, 50, 60, 70, 80], { dtype: 'i32' })
const frequencies = tensor([1, 0.5, 0.1])
const turn = (x: Tensor, options: ops.RotaryOptions = {}): Tensor =>
  ops.rotaryEmbedding(x, positions, frequencies, options)
const inputs = { q, k, v }
/** As it lies in memory. */
const rows = (x: Tensor): Tensor => ops.transpose(x, [0, 2, 1, 3])

describe('rotary embedding in what reads it', () => {
  it('turns queries and keys of attention by one table', () => {
    expectRewritten(({ q, k, v }) => rows(ops.attention(turn(q!), turn(k!), v!)), inputs, ['rotaryAngles', 'attention'])
    const options = { interleaved: true, scale: 1.5 }
    expectRewritten(
      ({ q, k, v }) => {
        const given = { causal: true }
        const { output, probabilities } = ops.attentionWithProbabilities(
          turn(q!, options),
          turn(k!, options),
          v!,
          given,
        )
        return [rows(output), probabilities]
      },
      inputs,
      ['rotaryAngles', 'attention'],
    )
    expectRewritten(({ q, k, v }) => rows(ops.attention(q!, turn(k!), v!)), inputs, ['rotaryAngles', 'attention'])
  })

  it('does not where turned rows are wanted otherwise, or are turned in two ways', () => {
    expectRewritten(
      ({ q, k, v }) => {
        const turned = turn(k!)
        return [rows(ops.attention(turn(q!), turned, v!)), rows(turned)]
      },
      inputs,
      ['rotaryAngles', 'rotary', 'attention'],
    )
    expectRewritten(({ q, k, v }) => rows(ops.attention(turn(q!), turn(k!, { interleaved: true }), v!)), inputs, [
      'rotaryAngles',
      'rotary',
      'rotary',
      'attention',
    ])
    expectRewritten(({ q, k, v }) => rows(ops.attention(turn(q!, { scale: 2 }), turn(k!), v!)), inputs, [
      'rotaryAngles',
      'rotaryAngles',
      'attention',
    ])
  })

  it('stays for the backward pass, with angles made once', () => {
    const loss = ({ q, k, v }: Named): Tensor => ops.sum(ops.attention(turn(q!), turn(k!), v!))
    const instructions = instructionsOf((t) => valueAndGrad(() => loss(t), t)({}), inputs)
    for (const [name, times] of [
      ['rotaryAngles', 1],
      ['rotary', 4],
      ['attention', 1],
      ['attentionGradient', 1],
    ] as const)
      expect([name, count(instructions, name)]).toEqual([name, times])
  })

  it('turns what is written into a cache and the queries that read it', () => {
    const cache = tensor.zeros([1, 2, 12, 8])
    const values = tensor.zeros([1, 2, 12, 8])
    const [start, keyLengths] = [tensor(0, { dtype: 'i32' }), tensor([9], { dtype: 'i32' })]
    const attend = ({ q, k, v }: Named): Tensor => {
      const [keys, held] = [ops.cacheWrite(cache, turn(k!), start), ops.cacheWrite(values, v!, start)]
      return rows(ops.cachedAttention(turn(q!), keys, held, { keyLengths }))
    }
    expectRewritten(attend, inputs, ['rotaryAngles', 'cacheWrite', 'cacheWrite', 'cachedAttention'])
    const both = ({ k }: Named): Tensor => {
      const turned = turn(k!)
      ops.cacheWrite(cache, turned, start)
      return rows(turned)
    }
    expect(instructionsOf(both, { k })).toEqual(['rotaryAngles', 'rotary', 'cacheWrite'])
  })
})
