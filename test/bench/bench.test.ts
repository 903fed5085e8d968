import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { benchWork, type Benched } from '../../lib/bench/bench.ts'
import { bench, Machine } from '../../lib/bench/index.ts'
import { sample } from '../../lib/bench/sample.ts'
import { ArgumentError } from '../../lib/errors.ts'
import { runtime } from '../../lib/runtime.ts'

/** Milliseconds. */
let clock = 0
const now = (): number => clock
/** Takes these times in turn. */
const taking = (...times: number[]): (() => void) => {
  let call = 0
  return () => void (clock += times[call++ % times.length]!)
}
beforeEach(() => void (clock = 0))

describe('sample', () => {
  it('gives the median, its deviation, and at least five samples', async () => {
    expect(await sample(taking(4), { time: 0, now })).toEqual({ median: 4, spread: 0, samples: 5 })
    const sampled = await sample(taking(2, 4, 8), { time: 280, now })
    expect(sampled.median).toBe(4)
    expect(sampled.spread).toBe(0.5)
    expect(sampled.samples).toBeGreaterThanOrEqual(58)
  })

  it('takes the duration that the function gives', async () => {
    const { median } = await sample(() => (taking(9)(), { overriddenDuration: 3 }), { time: 30, now })
    expect(median).toBe(3)
  })

  it('waits for promises', async () => {
    const slow = async (): Promise<void> => {
      await Promise.resolve()
      clock += 7
    }
    expect((await sample(slow, { time: 20, now })).median).toBe(7)
  })

  it('probes first, and now and then, at no cost', async () => {
    const probed: number[] = []
    const probe = async (): Promise<void> => void probed.push((clock += 1000) - 1000)
    const { median } = await sample(taking(1), { time: 100, now, probe })
    expect(median).toBe(1)
    expect(probed[0]).toBe(0)
    expect(probed.length).toBeGreaterThanOrEqual(4)
    expect(probed.length).toBeLessThanOrEqual(8)
  })

  it('ends by signal, before and in between, and by what the function throws', async () => {
    const reason = new Error('enough')
    await expect(sample(taking(1), { time: 1, now, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    let calls = 0
    const aborting = (): void => {
      if (++calls === 3) controller.abort(reason)
    }
    await expect(sample(aborting, { time: 1e9, now, signal: controller.signal })).rejects.toBe(reason)
    expect(calls).toBe(3)
    await expect(sample(() => Promise.reject(reason), { time: 1, now })).rejects.toBe(reason)
  })
})

describe('benchWork', () => {
  const machine: Benched['machine'] = {
    levels: [
      { name: 'L1', size: 1e6, shared: false },
      { name: 'DRAM', size: Infinity, shared: true },
    ],
    levelPeaks: async (_, __, level) =>
      level === 'L1'
        ? { compute: 100, read: 200, write: 200, copy: 200, update: 200 }
        : { compute: 100, read: 20, write: 20, copy: 10, update: 15 },
  }
  const settings = { flops: 0, read: 0, written: 0, updated: 0, workingSet: 0, dtype: 'f32', time: 10, machine, now }
  const before = runtime.threads()
  beforeEach(() => runtime.setThreads(1))
  afterEach(() => runtime.setThreads(before))

  it('compares with arithmetic', async () => {
    const result = await benchWork('product', taking(2), { ...settings, flops: 1e8 })
    expect(result).toMatchObject({ name: 'product', ms: 2, gflops: 50, bound: 'compute', roofline: 0.5, threads: 1 })
    expect(result).not.toHaveProperty('gbps')
  })

  it('compares with the level that the working set streams from', async () => {
    const read = { ...settings, read: 10e6 }
    const near = await benchWork('sum', taking(1), { ...read, workingSet: 1e6 })
    expect(near).toMatchObject({ gbps: 10, bound: 'L1', roofline: expect.closeTo(0.05, 12) })
    const far = await benchWork('sum', taking(1), { ...read, workingSet: 1e9 })
    expect(far).toMatchObject({ gbps: 10, bound: 'DRAM', roofline: expect.closeTo(0.5, 12) })
  })

  it('only times what nothing is known of', async () => {
    const result = await benchWork('anything', taking(3), settings)
    expect(result.ms).toBe(3)
    for (const key of ['gflops', 'gbps', 'bound', 'roofline']) expect(result).not.toHaveProperty(key)
  })
})

describe('bench', () => {
  it('times a function with the peaks of this machine', async () => {
    const x = new Float64Array(1000).fill(1)
    const sum = (): number => x.reduce((a, b) => a + b, 0)
    const result = await bench('sum', sum, { flops: 1000, bytes: 8000, time: 5 })
    expect(result).toMatchObject({ name: 'sum', dtype: 'f32', isa: runtime.isa(), threads: runtime.threads() })
    expect(result.ms).toBeGreaterThan(0)
    expect(result.roofline).toBeGreaterThan(0)
    expect(['compute', 'L1']).toContain(result.bound)
  })

  it.each<[string, object, RegExp]>([
    ['an unknown option', { flop: 1 }, /unknown option "flop"; did you mean flops\?/],
    ['a number that is none', { flops: NaN }, /flops should be a number/],
    ['negative bytes', { bytes: -1 }, /bytes should be a number from 0/],
    ['bytes of an unknown kind', { bytes: { wrote: 1 } }, /unknown option "wrote"/],
    ['a format that is not computed in', { dtype: 'f31' }, /\(f32.*\), got "f31"/],
    ['a working set that is none', { workingSet: '1' }, /workingSet should be a number/],
  ])('refuses %s', async (_, options, message) => {
    const refused = bench('x', () => {}, options as never)
    await expect(refused).rejects.toThrow(message)
    await expect(refused).rejects.toBeInstanceOf(ArgumentError)
  })

  it('refuses what is no function', () =>
    expect(bench('x', 7 as never)).rejects.toThrow('bench: expected a function, got 7'))
})

describe('Machine', () => {
  it('measures peaks of every level, and where the threads are', async () => {
    const before = runtime.threads()
    using machine = new Machine()
    const peaks = await machine.peaks()
    expect(peaks).toMatchObject({ isa: runtime.isa(), threads: before })
    for (const figure of [peaks.compute, peaks.read, peaks.write, peaks.copy, peaks.update].flatMap((group) =>
      Object.values(group),
    ))
      expect(figure).toBeGreaterThan(0.01)
    expect(Object.keys(peaks.read)).toEqual(machine.levels.map(({ name }) => name))
    const placement = await machine.placement()
    expect(runtime.threads()).toBe(before)
    if (before === 1) expect(placement).toBeUndefined()
    else expect(placement!.state).toMatch(/core/)
  })

  it('stops at a signal', async () => {
    using machine = new Machine()
    const reason = new Error('enough')
    await expect(machine.peaks(AbortSignal.abort(reason))).rejects.toBe(reason)
  })
})
