import { afterEach, describe, expect, it } from 'vitest'
import { ArgumentError } from '../lib/errors.ts'
import { runtime } from '../lib/runtime.ts'

const before = { isa: runtime.isa(), threads: runtime.threads() }
afterEach(() => {
  runtime.setIsa(before.isa)
  runtime.setThreads(before.threads)
})

describe('runtime', () => {
  it('takes every instruction set that is available', () => {
    expect(runtime.availableIsas().at(-1)).toBe('scalar')
    for (const isa of runtime.availableIsas()) {
      runtime.setIsa(isa)
      expect(runtime.isa()).toBe(isa)
    }
  })

  it('refuses others, and suggests the nearest', () => {
    expect(() => runtime.setIsa('scaler')).toThrow(
      'runtime.setIsa: "scaler" is not available here; did you mean scalar?',
    )
    for (const name of ['mmx-and-more', '', 7, undefined])
      expect(() => runtime.setIsa(name as never)).toThrow(ArgumentError)
    expect(runtime.isa()).toBe(before.isa)
  })

  it('takes a number of threads', () => {
    runtime.setThreads(3)
    expect(runtime.threads()).toBe(3)
    for (const threads of [0, -1, 1.5, NaN, 1025, '2'])
      expect(() => runtime.setThreads(threads as never)).toThrow(ArgumentError)
    expect(runtime.threads()).toBe(3)
  })

  it('names the CPU', () => {
    expect(runtime.cpuName()).not.toBe('')
    expect(runtime.liveBytes()).toBeGreaterThanOrEqual(0)
  })
})
