import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { runtime } from '../../lib/runtime.ts'

/**
 * What the CPU must have for each unit of native/kernels/isa, in the words of Linux. All tests of kernels run on
 * `runtime.availableIsas()`: one that is missing there would be tested by nothing.
 */
const needs: Readonly<Record<string, { arch?: NodeJS.Architecture; flags: readonly string[] }>> = {
  scalar: { flags: [] },
  ...of('x64', ['avx2', 'fma', 'f16c'], { avx2: [], avx_vnni: ['avx_vnni'] }),
  ...of('x64', ['avx2', 'fma', 'f16c', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl'], {
    avx512: [],
    avx512_vnni: ['avx512_vnni'],
    avx512_bf16: ['avx512_vnni', 'avx512_bf16'],
  }),
  ...of('arm64', [], {
    neon: [],
    neon_dotprod: ['asimddp'],
    neon_i8mm: ['asimddp', 'i8mm'],
    neon_bf16: ['asimddp', 'i8mm', 'bf16'],
  }),
}

function of(arch: NodeJS.Architecture, all: readonly string[], more: Readonly<Record<string, readonly string[]>>) {
  return Object.fromEntries(Object.entries(more).map(([isa, flags]) => [isa, { arch, flags: [...all, ...flags] }]))
}

/** undefined where it is not said: on other systems, and under an emulator. */
function cpuFlags(): ReadonlySet<string> | undefined {
  if (process.platform !== 'linux') return undefined
  const key = process.arch === 'x64' ? 'flags' : 'Features'
  const line = new RegExp(`^${key}\\s*:(.*)$`, 'm').exec(readFileSync('/proc/cpuinfo', 'utf8'))
  return line ? new Set(line[1]!.trim().split(/\s+/)) : undefined
}

describe('instruction sets', () => {
  const flags = cpuFlags()

  it('are all known here', () => {
    const folder = fileURLToPath(new URL('../../native/kernels/isa', import.meta.url))
    const units = readdirSync(folder).flatMap((name) => /^(\w+)\.cc$/.exec(name)?.[1] ?? [])
    expect(units.sort()).toEqual(Object.keys(needs).sort())
  })

  it.runIf(flags)('are available wherever the CPU has what they need, and nowhere else', () => {
    const possible = Object.keys(needs).filter((isa) => {
      const { arch, flags: needed } = needs[isa]!
      return (!arch || arch === process.arch) && needed.every((flag) => flags!.has(flag))
    })
    expect([...runtime.availableIsas()].sort()).toEqual(possible.sort())
  })

  it('come best first: each before those that it adds to', () => {
    const rank = (isa: string): number => Object.keys(needs).indexOf(isa)
    const ranks = runtime.availableIsas().map(rank)
    expect(ranks).toEqual([...ranks].sort((a, b) => b - a))
  })
})
