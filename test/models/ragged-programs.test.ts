import { describe, expect, it } from 'vitest'
import { RaggedPrograms, sequencesFor } from '../../lib/models/ragged-programs.ts'
import { add, multiply } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { heldBytes } from '../held-bytes.ts'

const numbers = (rows: number): Float32Array => Float32Array.from({ length: rows }, (_, i) => i)

describe('programs for any number of rows', () => {
  it('are traced once per size, a size serving all rows up to twice as many', async () => {
    let traced = 0
    using programs = new RaggedPrograms(
      ({ x }: { x: Tensor }) => {
        traced++
        return multiply(x, x)
      },
      ['x'],
    )
    for (const rows of [1, 5, 31, 32, 7, 32]) {
      using y = await programs.run(rows, { x: numbers(rows) })
      expect(y.toArray()).toEqual([...numbers(rows)].map((value) => value * value))
    }
    expect(traced).toBe(1)
    for (const rows of [33, 64, 50]) (await programs.run(rows, { x: numbers(rows) })).dispose()
    expect(traced).toBe(2)
  })

  it('are bounded in number, and none is left when they are disposed of', async () => {
    const before = await heldBytes()
    const programs = new RaggedPrograms(({ x }: { x: Tensor }) => add(multiply(x, x), x), ['x'])
    const sizes = Array.from({ length: 12 }, (_, i) => 32 << i)
    for (const rows of sizes) (await programs.run(rows, { x: numbers(rows) })).dispose()
    const kept = sizes.filter((rows) => programs.isKept(rows))
    expect(kept).toEqual(sizes.slice(-8))
    // The one that was used longest ago goes first.
    ;(await programs.run(sizes[4]!, { x: numbers(sizes[4]!) })).dispose()
    ;(await programs.run(sizes[0]!, { x: numbers(sizes[0]!) })).dispose()
    expect(sizes.filter((rows) => programs.isKept(rows))).toEqual([sizes[0], sizes[4], ...sizes.slice(6)])
    programs.dispose()
    expect(await heldBytes()).toBe(before)
  })

  it('run to their end when they are given back meanwhile', async () => {
    const before = await heldBytes()
    const programs = new RaggedPrograms(({ x }: { x: Tensor }) => add(x, x), ['x'])
    const running = programs.run(40, { x: numbers(40) })
    programs.dispose()
    using y = await running
    expect(y.toArray()).toEqual([...numbers(40)].map((value) => 2 * value))
    y.dispose()
    expect(await heldBytes()).toBe(before)
  })
})

describe('sequencesFor', () => {
  it('is the least power of 4 that is enough', () =>
    expect([1, 2, 4, 5, 16, 17, 64, 65, 4096].map(sequencesFor)).toEqual([1, 4, 4, 16, 16, 64, 64, 256, 4096]))
})

it('inputs that are tensors serve as well as data', async () => {
  using programs = new RaggedPrograms(({ x }: { x: Tensor }) => add(x, x), ['x'])
  using x = tensor([1, 2, 3])
  using y = await programs.run(3, { x })
  expect(y.toArray()).toEqual([2, 4, 6])
})
