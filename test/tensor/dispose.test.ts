import { describe, expect, it } from 'vitest'
import { DisposedError } from '../../lib/errors.ts'
import { cast } from '../../lib/ops/index.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { Parameter, type Tensor } from '../../lib/tensor/tensor.ts'
import { heldBytes } from '../held-bytes.ts'

describe('disposing', () => {
  it('gives the memory back, once', async () => {
    const before = await heldBytes()
    const x = tensor.zeros([1000])
    expect((await heldBytes()) - before).toBe(4000)
    x.dispose()
    x.dispose()
    expect(x.isDisposed).toBe(true)
    expect(await heldBytes()).toBe(before)
  })

  it('happens at the end of the scope of using', async () => {
    const before = await heldBytes()
    let kept: Tensor
    {
      using x = tensor.ones([500], { dtype: 'f64' })
      using parameter = new Parameter([2], 'f32', x.memory('test'))
      kept = x
      expect(parameter.isDisposed).toBe(false)
      expect((await heldBytes()) - before).toBe(4000)
    }
    expect(kept.isDisposed).toBe(true)
    expect(await heldBytes()).toBe(before)
  })

  it('empties the data that was taken out, and refuses everything after', () => {
    const x = tensor([1, 2])
    const data = x.data()
    x.dispose()
    expect(data.length).toBe(0)
    for (const use of [
      () => x.data(),
      () => x.toArray(),
      () => tensor([1]).copyFrom(x),
      () => x.copyFrom([1, 2]),
      () => cast(x, 'f64'),
    ])
      expect(use).toThrow(DisposedError)
    expect([x.shape, x.size, String(x)]).toEqual([[2], 2, 'Tensor f32 [2]'])
  })
})
