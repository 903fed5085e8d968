import { describe, expect, it } from 'vitest'
import { formatCount, formatDuration, formatProgress, TrainingProgress } from '../../lib/cli/progress.ts'
import { clip, paint, StatusLine, terminalOf } from '../../lib/cli/terminal.ts'

/** A terminal that keeps what is written, and a clock that stands still. */
function screen(isTTY: boolean, columns = 80) {
  const written: string[] = []
  const clock = { ms: 0 }
  return {
    output: { isTTY, columns, write: (text: string) => written.push(text) },
    written,
    clock,
    now: () => clock.ms,
  }
}

const state = { step: 312, steps: 1000, loss: 2.1337, tokensPerSecond: 48_230, secondsLeft: 41.2 }

describe('terminalOf', () => {
  it('wants colours on terminals only, and obeys NO_COLOR and TERM=dumb', () => {
    const tty = { isTTY: true, columns: 100, write: () => {} }
    expect(terminalOf(tty, {})).toEqual({ interactive: true, color: true, width: 100 })
    expect(terminalOf(tty, { NO_COLOR: '1' })).toEqual({ interactive: true, color: false, width: 100 })
    expect(terminalOf(tty, { NO_COLOR: '' }).color).toBe(true)
    expect(terminalOf(tty, { TERM: 'dumb' })).toEqual({ interactive: false, color: false, width: 100 })
    expect(terminalOf({ write: () => {} }, {})).toEqual({ interactive: false, color: false, width: 80 })
  })
})

describe('clip', () => {
  it('counts characters, not escapes, and keeps the escapes', () => {
    expect(clip('abcdef', 4)).toBe('abcd')
    expect(clip(paint('abc', 'red', true) + 'def', 4)).toBe('\x1b[31mabc\x1b[0md')
    expect(clip('😀😀😀', 2)).toBe('😀😀')
    expect(clip('abc', 0)).toBe('')
  })
})

describe('StatusLine', () => {
  it('rewrites one line at most ten times a second', () => {
    const { output, written, clock, now } = screen(true)
    const line = new StatusLine(output, now)
    for (; clock.ms <= 1000; clock.ms += 10) line.update(() => `at ${clock.ms}`)
    expect(written).toEqual(Array.from({ length: 11 }, (_, i) => `\rat ${i * 100}\x1b[K`))
    line.finish(() => 'done')
    expect(written.slice(-2)).toEqual(['\rdone\x1b[K', '\n'])
  })

  it('clears what it shows, and shows again at once', () => {
    const { output, written, now } = screen(true)
    const line = new StatusLine(output, now)
    line.clear()
    line.update(() => 'a')
    line.clear()
    line.update(() => 'b')
    expect(written).toEqual(['\ra\x1b[K', '\r\x1b[K', '\rb\x1b[K'])
  })

  it('never reaches the last column', () => {
    const { output, written, now } = screen(true, 10)
    new StatusLine(output, now).update(() => 'x'.repeat(50))
    expect(written).toEqual([`\r${'x'.repeat(9)}\x1b[K`])
  })

  it('writes nothing when it is no terminal', () => {
    const { output, written, clock, now } = screen(false)
    const line = new StatusLine(output, now)
    line.update(() => 'a')
    clock.ms = 1e6
    line.update(() => 'b')
    line.clear()
    line.finish(() => 'c')
    expect(written).toEqual([])
  })
})

describe('formatProgress', () => {
  it('shows bar, step, loss, speed and time left', () => {
    const line = formatProgress(state, { width: 80, color: false })
    expect(line).toBe('━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌   312/1000  loss 2.134  48.2k tokens/s  0:41 left')
  })

  it('fits every width', () => {
    for (let width = 1; width < 120; width++)
      for (const color of [false, true]) {
        const line = formatProgress(state, { width, color })
        expect(clip(line, width - 1), `width ${width}`).toBe(line)
      }
  })

  it('is full at the end, without time left, and takes odd numbers', () => {
    expect(formatProgress({ ...state, step: 1000 }, { width: 80, color: false })).toMatch(
      /^━{30}  1000\/1000 (?!.*left)/,
    )
    expect(
      formatProgress(
        { ...state, step: 0, loss: NaN, tokensPerSecond: NaN, secondsLeft: undefined },
        { width: 80, color: false },
      ),
    ).toMatch(/^╌{30}     0\/1000  loss NaN  – tokens\/s$/)
    expect(formatProgress({ ...state, step: 5, steps: 0 }, { width: 80, color: false })).toContain('━'.repeat(30))
  })
})

it.each([
  [0, '0'],
  [950.4, '950'],
  [999.7, '1.00k'],
  [48_230, '48.2k'],
  [999_600, '1.00M'],
  [2.5e9, '2.50G'],
  [Infinity, '–'],
])('formatCount(%s) is %s', (n, text) => expect(formatCount(n)).toBe(text))

it.each([
  [0.4, '0:00'],
  [59.6, '1:00'],
  [750, '12:30'],
  [3599.6, '1:00:00'],
  [11_100, '3:05:00'],
])('formatDuration(%s) is %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text))

describe('TrainingProgress', () => {
  it('tells the time left from the speed of this run, resumed ones too', () => {
    const { output, written, clock, now } = screen(true, 90)
    const progress = new TrainingProgress(300, 100, output, now)
    clock.ms = 10_000
    progress.update({ step: 110, loss: 3, tokensPerSecond: 1000 })
    expect(written.at(-1)).toContain('110/300  loss 3.000  1.00k tokens/s  3:10 left')
  })

  it('shows a speed that does not jump', () => {
    const { output, written, clock, now } = screen(true, 90)
    const progress = new TrainingProgress(10, 0, output, now)
    for (const [i, tokensPerSecond] of [100, 100, 200].entries()) {
      clock.ms += 1000
      progress.update({ step: i + 1, loss: 1, tokensPerSecond })
    }
    expect(written.at(-1)).toContain(' 105 tokens/s')
  })

  it('leaves its last state on the screen even if it was not due', () => {
    const { output, written, clock, now } = screen(true, 90)
    const progress = new TrainingProgress(2, 0, output, now)
    clock.ms = 1000
    progress.update({ step: 1, loss: 2, tokensPerSecond: 10 })
    progress.update({ step: 2, loss: 1, tokensPerSecond: 10 })
    progress.finish()
    expect(written.at(-2)).toContain('2/2  loss 1.000')
    expect(written.at(-1)).toBe('\n')
  })

  it('is silent when standard error is no terminal', () => {
    const { output, written, clock, now } = screen(false)
    const progress = new TrainingProgress(2, 0, output, now)
    clock.ms = 60_000
    progress.update({ step: 1, loss: 2, tokensPerSecond: 10 })
    progress.clear()
    progress.finish()
    expect(written).toEqual([])
  })
})
