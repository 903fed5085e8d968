import { rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { runtime } from '../../lib/index.ts'
import { scratch } from './calls/call.ts'
import { calls } from './calls/index.ts'
import { complaints, functions } from './complaints.ts'

describe('every public function', () => {
  const before = { isa: runtime.isa(), threads: runtime.threads() }
  afterAll(() => {
    runtime.setIsa(before.isa)
    runtime.setThreads(before.threads)
    rmSync(scratch, { recursive: true, force: true })
  })

  it('is in the table of calls', () => {
    expect([...functions.keys()].sort()).toEqual(Object.keys(calls).sort())
  })

  it.each(Object.entries(calls))('%s refuses what it can not take, by a typed error', async (path, call) => {
    expect(await complaints(path, call)).toEqual([])
  })
})
