import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { native } from '../../lib/native/load.ts'
import { recordPrograms } from './recorded-programs.ts'

const script = fileURLToPath(new URL('fuzz.ts', import.meta.url))
const rounds = 8000

/** Longer, and with sanitizers, by hand: `node --import tsx test/native/fuzz.ts <seed> <rounds>`. */
describe('damaged programs', () => {
  it('are made of programs that use every instruction', () => {
    const used = new Set<string>()
    for (const { code } of recordPrograms()) {
      for (let at = 0; at < code.length;) {
        const [op, attributes, operands] = code.slice(at, at + 3) as [number, number, number]
        used.add(native.operations[op]!.name)
        at += 3 + attributes
        for (let i = 0; i < operands; i++) at += code[at] === -1 ? 1 : 4 + 3 * code[at + 3]!
      }
    }
    expect([...used].sort()).toEqual(native.operations.map(({ name }) => name).sort())
  })

  it.each([1, 2, 3])('are refused or run, and never crash (seed %i)', (seed) => {
    const args = ['--import', 'tsx', script, String(seed), String(rounds)]
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
    const { refused, ran, failed, skipped } = JSON.parse(stdout) as Record<string, number>
    expect(refused! + ran! + failed! + skipped!).toBeGreaterThanOrEqual(rounds)
    // Damage that is always noticed at once would show nothing.
    expect(ran).toBeGreaterThan(rounds / 100)
  })
})

/** Values of every kind but the right one. */
const junk = [
  undefined,
  null,
  {},
  [],
  'x',
  7n,
  Symbol('s'),
  NaN,
  -1,
  1.5,
  2 ** 53,
  () => 1,
  new Float32Array(2),
  new Date(),
]

describe('the addon', () => {
  const functions: readonly (readonly [string, (value: unknown) => unknown])[] = [
    ['new Storage', (value) => new native.Storage(value as never)],
    ['new Program: code', (value) => new native.Program(value as never, 0, 0, 0, 0)],
    ['new Program: arenaBytes', (value) => new native.Program(new Float64Array(), value as never, 0, 0, 0)],
    ['new Program: bindings', (value) => new native.Program(new Float64Array(), 0, value as never, 0, 0)],
    ['new Program: capacity', (value) => new native.Program(new Float64Array(), 0, 0, value as never, 0)],
    ['new Program: commitIndex', (value) => new native.Program(new Float64Array(), 0, 0, 0, value as never)],
    ['execute: code', (value) => native.execute(value as never, [])],
    ['execute: a binding', (value) => native.execute(new Float64Array(), [value] as never)],
    ['setIsa', (value) => native.setIsa(value as never)],
    ['setThreads', (value) => native.setThreads(value as never)],
    ['runSync: a binding', (value) => empty().runSync([value] as never, 0)],
    ['runSync: rows', (value) => empty().runSync([], value as never)],
    ['keep: a binding', (value) => empty().keep([value] as never)],
    ['run: done', (value) => empty().run([], 0, value as never)],
    ['abort', (value) => empty().abort(value as never)],
    ['setProfiling', (value) => empty().setProfiling(value as never)],
    ['a method on something else', (value) => native.Storage.prototype.buffer.call(value as never)],
    ['a getter on something else', (value) => Reflect.get(native.Program.prototype, 'memoryBytes', value)],
  ]
  const empty = (): InstanceType<typeof native.Program> => new native.Program(new Float64Array(), 0, 0, 0, 0)
  it.each(functions)('%s takes nothing wrong', (name, call) => {
    for (const value of junk)
      if (name !== 'run: done' || typeof value !== 'function') expect(() => call(value), String(value)).toThrow()
  })

  it('takes no program or storage that is disposed', () => {
    const program = empty()
    program.dispose()
    program.dispose()
    expect(() => program.runSync([], 0)).toThrow('disposed')
    expect(() => program.run([], 0, () => {})).toThrow('disposed')
    expect(() => program.profile()).toThrow('disposed')
    const storage = new native.Storage(8)
    storage.dispose()
    expect(() => storage.buffer()).toThrow('disposed')
    expect(() => native.execute(new Float64Array(), [storage])).toThrow('disposed')
    expect(() => empty().keep([storage])).toThrow('disposed')
  })

  it('keeps storages of a program without keeping them alive', () => {
    const program = new native.Program(new Float64Array(), 0, 2, 0, 0)
    const [kept, given] = [new native.Storage(8), new native.Storage(8)]
    program.keep([kept])
    program.runSync([given], 0)
    expect(() => program.runSync([], 0)).toThrow('expected 2 bindings, got 1')
    expect(() => program.runSync([given, given], 0)).toThrow('expected 2 bindings, got 3')
    const live = native.liveBytes()
    kept.dispose()
    expect(live - native.liveBytes()).toBe(8)
    expect(() => program.runSync([given], 0)).toThrow('a storage that the program keeps is disposed')
    program.keep([given])
    program.runSync([given], 0)
  })
})
