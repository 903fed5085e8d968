import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Command } from '../../lib/cli/command.ts'
import { info } from '../../lib/cli/commands/info.ts'
import { exitCodes, Interrupted, withInterrupt } from '../../lib/cli/interrupt.ts'
import { integer, number } from '../../lib/cli/options.ts'
import { run } from '../../lib/cli/run.ts'
import { FileError } from '../../lib/errors.ts'

let out: string
let err: string
beforeEach(() => {
  out = err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true))
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true))
})
afterEach(() => vi.restoreAllMocks())

/** `heedful work`, which does this. */
const work = (action: (options: Record<string, unknown>) => unknown): Command => ({
  name: 'work',
  describe: 'does it',
  register: (program) =>
    void program
      .option('--seed <n>', 'seed', integer(0))
      .option('--max-new-tokens <n>', 'tokens', integer(1, 9))
      .option('--rate <x>', 'rate', number(0))
      .action(async (options) => void (await action(options))),
})
const fail = (error: unknown) =>
  work(() => {
    throw error
  })
const idle = work(() => {})

describe('run', () => {
  it('gives the options to the command, and 0', async () => {
    let given: unknown
    const code = await run([work((options) => (given = options))], ['work', '--max-new-tokens', '3', '--rate', '1e-3'])
    expect([code, given, out, err]).toEqual([0, { maxNewTokens: 3, rate: 0.001 }, '', ''])
  })

  it('prints help and version on standard output', async () => {
    expect(await run([idle], ['--help'])).toBe(0)
    expect(out).toMatch(/work \[options\] +does it/)
    expect(await run([idle], ['work', '--help'])).toBe(0)
    expect(out).toContain('--max-new-tokens <n>')
    out = ''
    expect(await run([idle], ['--version'])).toBe(0)
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(err).toBe('')
  })

  it.each<[string[], string]>([
    [['wrok'], "heedful: unknown command 'wrok'; did you mean work?\n"],
    [['xylophone'], "heedful: unknown command 'xylophone'; see heedful --help\n"],
    [['--vresion'], "heedful: unknown option '--vresion'; did you mean --version?\n"],
    [['work', '--max-tokens', '3'], "heedful: unknown option '--max-tokens'; did you mean --max-new-tokens?\n"],
    [['work', '--sede=3'], "heedful: unknown option '--sede=3'; did you mean --seed?\n"],
    [['work', '--quite-another'], "heedful: unknown option '--quite-another'; see heedful work --help\n"],
    [['work', '--seed'], "heedful: option '--seed <n>' argument missing; see heedful work --help\n"],
    [['work', 'extra'], 'see heedful work --help'],
    [['work', '--seed', '1.5'], "argument '1.5' is invalid. Expected a whole number of at least 0; see"],
    [['work', '--seed', ''], 'Expected a whole number of at least 0'],
    [['work', '--max-new-tokens', '10'], 'Expected a whole number from 1 to 9'],
    [['work', '--rate', '-1'], 'Expected a number of at least 0'],
    [['work', '--rate', 'x'], 'Expected a number of at least 0'],
    [[], 'Usage: heedful'],
  ])('%j is wrong usage: 2, told on standard error', async (args, message) => {
    expect(await run([idle], args)).toBe(exitCodes.usage)
    expect(err).toContain(message)
    expect(out).toBe('')
  })

  it('tells errors of heedful in a sentence, without a stack', async () => {
    expect(await run([fail(new FileError('readJson: x.json: no such file'))], ['work'])).toBe(exitCodes.failed)
    expect(err).toBe('heedful: readJson: x.json: no such file\n')
  })

  it('shows the stack of any other error', async () => {
    expect(await run([fail(new TypeError('oh'))], ['work'])).toBe(exitCodes.failed)
    expect(err).toMatch(/^heedful: TypeError: oh\n +at /)
  })

  it('says nothing more when it was interrupted', async () => {
    expect(await run([fail(new Interrupted('interrupted'))], ['work'])).toBe(exitCodes.interrupted)
    expect(err).toBe('')
  })
})

const interrupted = () => process.emit('SIGINT', 'SIGINT')

describe('withInterrupt', () => {
  it('aborts the signal at a Ctrl-C, and rejects even when the work ends well', async () => {
    let reason: unknown
    const done = withInterrupt(async (signal) => {
      interrupted()
      reason = signal.reason
    })
    await expect(done).rejects.toBeInstanceOf(Interrupted)
    expect(reason).toBeInstanceOf(Interrupted)
  })

  it('ends the process at the second one', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation((() => {}) as never)
    await withInterrupt(async () => {
      interrupted()
      expect(exit).not.toHaveBeenCalled()
      interrupted()
    }).catch(() => {})
    expect(exit).toHaveBeenCalledWith(130)
  })

  it('leaves no listener behind', async () => {
    const before = process.listenerCount('SIGINT')
    expect(await withInterrupt(async () => 7)).toBe(7)
    await withInterrupt(() => Promise.reject(new Error('no'))).catch(() => {})
    expect(process.listenerCount('SIGINT')).toBe(before)
  })
})

describe('info', () => {
  it('prints what runs here', async () => {
    expect(await run([info], ['info'])).toBe(0)
    expect(out).toMatch(/^instruction set +\w+ \(available: .*scalar\)$/m)
    expect(out).toMatch(/^threads +\d+$/m)
  })

  it('prints one line of JSON', async () => {
    expect(await run([info], ['info', '--json'])).toBe(0)
    expect(out.trimEnd()).not.toContain('\n')
    const figures = JSON.parse(out) as { isa: string; availableIsas: string[]; threads: number }
    expect(figures.availableIsas).toContain(figures.isa)
    expect(figures.threads).toBeGreaterThanOrEqual(1)
  })
})
