import { describe, expect, it } from 'vitest'
import { concat, embedding, fill, multiply, reshape, sum, transpose } from '../../lib/ops/index.ts'
import { grad } from '../../lib/ops/gradients.ts'
import { runtime } from '../../lib/runtime.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'

/** Results of 16 MiB and more are written past the caches, whole vectors of them, and the ends by ordinary stores. */
const [rows, columns] = [2055, 2050]

const expectEach = (x: Tensor, at: (i: number) => number): void => {
  const data = x.data()
  let wrong = -1
  for (let i = 0; i < data.length && wrong < 0; i++) if (data[i] !== at(i)) wrong = i
  expect(wrong).toBe(-1)
  x.dispose()
}

// Those with an underscore have the kernels of the one before it.
describe.each(runtime.availableIsas().filter((isa) => !isa.includes('_')))('%s, far results', (isa) => {
  const on = (name: string, body: () => void): void =>
    it(name, () => {
      const before = runtime.isa()
      runtime.setIsa(isa)
      try {
        body()
      } finally {
        runtime.setIsa(before)
      }
    })
  const numbers = (r: number, c: number): Tensor =>
    fromData(
      Float32Array.from({ length: r * c }, (_, i) => i % 65521),
      { shape: [r, c] },
    )

  on('fill', () => expectEach(fill([rows, columns], 3), () => 3))
  on('copies that begin anywhere', () => {
    using x = numbers(rows, columns)
    using short = fromData(Float32Array.of(-1, -2, -3))
    expectEach(concat([short, reshape(x, [-1])], 0), (i) => (i < 3 ? -1 - i : (i - 3) % 65521))
  })
  // 2,064 rows: whole vectors of every instruction set; 2,055: not.
  for (const r of [2064, rows])
    on(`a transposition of ${r} rows`, () => {
      using x = numbers(r, columns)
      expectEach(reshape(transpose(x), [-1]), (i) => ((i % r) * columns + Math.floor(i / r)) % 65521)
    })
  on('the gradient of a large embedding', () => {
    using table = fill([rows, columns], 0)
    using ids = fromData(Int32Array.of(7, 7, rows - 1))
    const made = grad(() => sum(multiply(embedding(table, ids), 2)), table)({})
    expectEach(made, (i) => (Math.floor(i / columns) === 7 ? 4 : Math.floor(i / columns) === rows - 1 ? 2 : 0))
  })
})
