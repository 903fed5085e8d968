import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { PlacedResult } from '../../lib/bench/index.ts'
import { bar, resultLine, resultText, settingText } from '../../lib/cli/bench-table.ts'
import { benchPage } from '../../lib/cli/bench-page.ts'
import { benchCommand } from '../../lib/cli/commands/bench.ts'
import { info } from '../../lib/cli/commands/info.ts'
import { run } from '../../lib/cli/run.ts'
import { runtime } from '../../lib/runtime.ts'

let out: string
let err: string
beforeEach(() => {
  out = err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true))
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true))
})
afterEach(() => vi.restoreAllMocks())
const bench = (...args: string[]): Promise<number> => run([benchCommand], ['bench', ...args])

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'heedful-'))))
afterAll(() => rm(folder, { recursive: true }))

const tiny = 'add sum --shapes 8x64 --quick'.split(' ')
const keys = 'op name shape dtype isa threads ms gflops gbps bound roofline error spread placement'.split(' ')

describe('heedful bench', () => {
  it('prints one object a line, for every instruction set and number of threads', async () => {
    const before = { isa: runtime.isa(), threads: runtime.threads() }
    const isas = [...new Set([runtime.availableIsas()[0]!, 'scalar'])]
    const page = join(folder, 'page.html')
    expect(await bench(...tiny, '--json', '--threads', '1,2', '--isa', isas.join(','), '--html', page)).toBe(0)
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    // add, and sum along rows and columns
    expect(lines).toHaveLength(3 * 2 * isas.length)
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(keys)
      expect(line).toMatchObject({ shape: '8x64', dtype: 'f32' })
      for (const key of ['ms', 'gflops', 'gbps', 'roofline']) expect(line[key]).toBeGreaterThan(0)
      expect(line['placement'] === null).toBe(line['threads'] === 1)
    }
    expect(new Set(lines.map(({ op }) => op))).toEqual(new Set(['add', 'sum']))
    expect(new Set(lines.map(({ isa, threads }) => `${isa} ${threads}`)).size).toBe(2 * isas.length)
    expect({ isa: runtime.isa(), threads: runtime.threads() }).toEqual(before)
    expect(await readFile(page, 'utf8')).toContain('</html>')
  })

  it('prints a table with bars', async () => {
    expect(await bench(...tiny, '--threads', '1')).toBe(0)
    expect(out).toMatch(/^\w+, 1 thread$/m)
    expect(out).toMatch(/peaks: f32 [\d.]+ GFLOP\/s/m)
    expect(out).toMatch(/^add .* 8x64 .*[█▏▎▍▌▋▊▉·]{20} +\d+ % (compute|L\d)/m)
    expect(out).not.toContain('\x1b')
  })

  it.each<[string[], string]>([
    [['matmull'], "unknown operation 'matmull'; did you mean matmul?"],
    [['xylophone'], "unknown operation 'xylophone'; there are matmul, attention,"],
    [['matmul', '--shapes', '3x4'], "unknown shape '3x4' of matmul: expected MxNxK, e.g. 128x768x768"],
    [['matmul', '--shapes', '3x4xk'], "unknown shape '3x4xk' of matmul"],
    [['matmul', '--shapes', '3x4x0'], "unknown shape '3x4x0' of matmul"],
    [['--shapes', '3x4x5'], '--shapes needs an operation'],
    [['add', '--dtype', 'f31'], "unknown dtype 'f31'; did you mean f32?"],
    [['add', '--dtype', 'quarter'], "unknown dtype 'quarter'; there is f32"],
    [['add', '--isa', 'scaler'], "unknown instruction set 'scaler'; did you mean scalar?"],
    [['add', '--threads', '1,0'], 'Expected a whole number from 1 to 1024'],
    [['add', '--threads', '1,,2'], 'Expected a list with commas between'],
    [['add', '--quik'], "unknown option '--quik'; did you mean --quick?"],
  ])('%j is wrong usage', async (args, message) => {
    expect(await bench(...args)).toBe(2)
    expect(err).toContain(message)
    expect(out).toBe('')
  })

  it.skipIf(process.platform === 'win32')('ends at Ctrl-C', async () => {
    const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'bench', 'matmul', '--json', '--threads', '1'])
    let told = ''
    child.stderr.on('data', (text: Buffer) => (told += text.toString()))
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
    expect(told).toBe('')
  })
})

describe('heedful info', () => {
  it('tells the peaks', async () => {
    expect(await run([info], ['info', '--json'])).toBe(0)
    const { peaks, caches, placement, threads } = JSON.parse(out) as Record<'peaks' | 'caches', object> & {
      placement: unknown
      threads: number
    }
    expect(peaks).toMatchObject({ compute: { f32: expect.any(Number) }, read: { DRAM: expect.any(Number) } })
    expect(Object.keys(caches)[0]).toBe('L1')
    expect(placement === null).toBe(threads === 1)
  })
})

const setting = {
  peaks: {
    isa: 'avx2',
    threads: 1,
    compute: { f32: 100 },
    read: { L1: 200, DRAM: 20 },
    write: {},
    copy: {},
    update: {},
  },
}
const result: PlacedResult = {
  op: 'matmul',
  name: 'a <b> & "c"',
  shape: '2x3x4',
  dtype: 'f32',
  isa: 'avx2',
  threads: 1,
  ms: 1 / 3,
  spread: 0.1,
  samples: 9,
  gflops: 49.9999999,
  gbps: 10,
  bound: 'compute',
  roofline: 0.5,
}

describe('what is shown', () => {
  it('a line of JSON has figures of five digits, and null for what is not there', () => {
    const { gflops: _, ...copy } = { ...result, op: 'transpose' }
    expect(JSON.parse(resultLine(result))).toMatchObject({ ms: 0.33333, gflops: 50, placement: null })
    expect(JSON.parse(resultLine(copy))).toMatchObject({ gflops: null })
  })

  it.each([
    [0, '····················'],
    [0.5, '██████████··········'],
    [0.5063, '██████████▏·········'],
    [1, '████████████████████'],
    [1.4, '████████████████████'],
  ])('the bar of %d', (fraction, expected) => expect(bar(fraction)).toBe(expected))

  it('lines of the table', () => {
    expect(resultText(result, false)).toMatch(
      /^matmul .* 2x3x4 +f32 +0\.3333 +50\.0 +10\.0 +█{10}·{10} +50 % compute +± 10 %$/,
    )
    expect(resultText({ ...result, error: 0.00123 }, false)).toContain('50 % compute 1.2e-3')
    const placement = { cores: 2, handshakeNanoseconds: 66, state: 'two cores, sharing a cache' }
    expect(settingText({ ...setting, placement }, false)).toContain('two cores, sharing a cache, 66.0 ns to and fro')
  })

  it.each([80, 117, 118, 120, 129, 130, 200])(
    'lines fit into %d columns, and keep what tells variants apart',
    (width) => {
      const long = {
        ...result,
        op: 'rotaryEmbedding',
        name: 'GPT-2 MLP up, prefill of 512 tokens, packed, decode',
        error: 1e-3,
      }
      const text = resultText(
        { ...long, shape: '2048x16384x2048', ms: 1234.5678, gflops: 12345, gbps: 1234 },
        false,
        width,
      )
      expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(width)
      expect(text).toContain(', decode')
      expect(text).toContain('1.0e-3')
      expect(text.split('\n')).toHaveLength(width < 118 ? 2 : 1)
      const header = settingText(setting, false, width).trimEnd().split('\n').at(-1)!
      expect(header.indexOf('bound')).toBe(text.split('\n').at(-1)!.indexOf('compute'))
    },
  )

  it('a page needs nothing else, and shows text as text', () => {
    const page = benchPage('A & B', [setting], [result, { ...result, op: 'add' }])
    expect(page).toContain('<title>heedful bench: A &amp; B</title>')
    expect(page.match(/<circle /g)).toHaveLength(2)
    expect(page.match(/class="roof"/g)).toHaveLength(3)
    expect(page).toContain('a &lt;b&gt; &amp; &quot;c&quot;')
    expect(page).not.toContain('<b>')
    expect(page).not.toMatch(/NaN|Infinity|undefined|<script|https?:|src=|url\(/)
  })

  it('a plot of nothing is left out', () => {
    const { gflops: _, ...copy } = result
    expect(benchPage('CPU', [setting], [copy])).not.toContain('<svg')
  })
})
