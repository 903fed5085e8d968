import { afterEach, describe, expect, it } from 'vitest'
import { runtime } from '../../lib/runtime.ts'
import { deviation, norm } from '../reference/deviation.ts'
import { plainLoops } from './plain-loops.ts'
import { Subject } from './suite.ts'

const before = runtime.isa()
afterEach(() => runtime.setIsa(before))

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => norm(Array.from(a, (x, i) => x - b[i]!))

describe.each(plainLoops)('$name', (given) => {
  const subject = new Subject('forward', given, (tensors) => [given.op(tensors)])
  const { data } = subject
  const exact = given.loop(data, (x) => x)

  it('in f64 is the formula', () => {
    using f64 = subject.program('f64')
    expect(deviation(f64.run(data)[0]!, exact)).toBeLessThan(1e-13)
  })

  it.each(runtime.availableIsas())('on %s is at most twice as far off as the plain f32 loop', (isa) => {
    runtime.setIsa(isa)
    using f32 = subject.program('f32')
    expect(distance(f32.run(data)[0]!, exact)).toBeLessThan(2 * distance(given.loop(data, Math.fround), exact))
  })
})
