import { describe, expect, it } from 'vitest'
import { levelOf, memoryLevels, placementState } from '../../lib/bench/machine.ts'
import { bytesMoved, ratesOf, roofOf, workingSetOf } from '../../lib/bench/roofline.ts'

const peaks = { compute: 100, read: 20, write: 30, copy: 10, update: 16 }
const work = { flops: 0, read: 0, written: 0, updated: 0 }

describe('roofOf', () => {
  it.each([
    ['arithmetic', { flops: 1e9, read: 1e6 }, 'compute', 10],
    ['reading', { flops: 1e6, read: 40e6 }, 'DRAM', 2],
    ['a copy', { read: 20e6, written: 20e6 }, 'DRAM', 4],
    ['reading more than is written', { read: 40e6, written: 20e6 }, 'DRAM', 5],
    ['writing alone', { written: 30e6 }, 'DRAM', 1],
    ['writing more than is read', { read: 10e6, written: 40e6 }, 'DRAM', 3],
    ['updating in place', { read: 20e6, updated: 16e6 }, 'DRAM', 3],
  ] as const)('%s', (_, given, bound, ms) => {
    expect(roofOf({ ...work, ...given }, peaks, 'DRAM')).toEqual({ bound, ms })
  })

  it('takes the longer of arithmetic and memory', () => {
    const both = { ...work, flops: 1e9, read: 200e6 }
    expect(roofOf(both, peaks, 'L2')).toEqual({ bound: 'compute', ms: 10 })
    expect(roofOf({ ...both, read: 201e6 }, peaks, 'L2').bound).toBe('L2')
  })

  it('does without peaks that it does not need', () => {
    const only = { compute: Infinity, read: 20, write: Infinity, copy: Infinity, update: Infinity }
    expect(roofOf({ ...work, read: 20e6 }, only, 'L1')).toEqual({ bound: 'L1', ms: 1 })
  })
})

it('rates count what is updated twice, and leave out what there is none of', () => {
  const given = { flops: 3e6, read: 1e6, written: 2e6, updated: 3e6 }
  expect(ratesOf(given, 2)).toEqual({ gflops: 1.5, gbps: 4.5 })
  expect(ratesOf({ ...work, read: 1e6 }, 1)).toEqual({ gbps: 1 })
  expect(ratesOf({ ...work, flops: 1e6 }, 1)).toEqual({ gflops: 1 })
  expect([bytesMoved(given), workingSetOf(given)]).toEqual([9e6, 6e6])
})

describe('levels of memory', () => {
  const levels = memoryLevels({ L1: 32, L2: 1024, L3: 8192 })
  it.each([
    [32, 1, 'L1'],
    [33, 1, 'L2'],
    [64, 2, 'L1'],
    [2048, 2, 'L2'],
    [2049, 2, 'L3'],
    [8192, 1, 'L3'],
    [8193, 4, 'DRAM'],
  ])('%d bytes, %d threads: %s', (bytes, threads, level) => expect(levelOf(bytes, threads, levels)).toBe(level))

  it('leaves out caches that are not there, and takes usual ones where the system does not tell', () => {
    expect(memoryLevels({ L1: 64, L2: 4096, L3: 0 }).map(({ name }) => name)).toEqual(['L1', 'L2', 'DRAM'])
    expect(memoryLevels({ L1: 0, L2: 0, L3: 0 }).map(({ name }) => name)).toEqual(['L1', 'L2', 'L3', 'DRAM'])
    const sizes = memoryLevels().map(({ size }) => size)
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
  })
})

it.each([
  [2, 1.45, 36, 'one core (SMT siblings)'],
  [2, 1.96, 66, 'two cores, sharing a cache'],
  [2, 2, 310, 'two cores, apart'],
  [8, 1.1, 40, 'one core for 8 threads'],
  [2, 1.02, 5e6, 'cores that other programs use'],
  [8, 7.8, 90, '8 cores, sharing a cache'],
])('%d threads that compute like %d, %d ns apart: %s', (threads, cores, nanoseconds, state) => {
  expect(placementState(threads, cores, nanoseconds)).toBe(state)
})
