import { describe, expect, it } from 'vitest'
import { tickLabels, ticks } from '../../lib/cli/axis.ts'
import { BrailleCanvas } from '../../lib/cli/braille.ts'
import { drawLossCurve, type LossPoint } from '../../lib/cli/loss-curve.ts'
import { ArgumentError } from '../../lib/errors.ts'

const plain = { width: 40, height: 5 }
const widest = (text: string): number => Math.max(...text.split('\n').map((line) => [...line].length))
/** Row of the first braille character in each column of the plot, top row 0. */
function profile(text: string): (number | undefined)[] {
  const rows = text.split('\n').slice(1, -2)
  const columns = Math.max(...rows.map((row) => [...row].length))
  return Array.from({ length: columns }, (_, column) => {
    const row = rows.findIndex((cells) => /[\u2800-\u28ff]/.test([...cells][column] ?? ''))
    return row < 0 ? undefined : row
  }).filter((row) => row !== undefined)
}
const falling: LossPoint[] = Array.from({ length: 500 }, (_, i) => ({ step: i + 1, loss: 4 - i / 250 }))

describe('drawLossCurve', () => {
  it('draws a straight line from the upper left to the lower right', () => {
    const line = [
      { step: 0, loss: 4 },
      { step: 100, loss: 2 },
    ]
    expect(drawLossCurve(line, { width: 40, height: 4 })).toBe(
      [
        'loss by step   ── training 2.000',
        '4 ┤⠉⠑⠒⠒⠤⠤⢄⣀⣀',
        '3 ┤         ⠉⠉⠒⠒⠢⠤⠤⣀⣀⡀',
        '  │                  ⠈⠉⠉⠒⠒⠢⠤⠤⣀⣀',
        '2 ┤                            ⠉⠉⠑⠒⠒⠤⠤⢄⣀',
        '  └┬─────────────────┬─────────────────┬',
        '   0                50               100',
      ].join('\n'),
    )
  })

  it('goes down where the loss goes down, over the whole plot', () => {
    const rows = profile(drawLossCurve(falling, { width: 60, height: 10 }))
    expect(rows).toEqual([...rows].sort((a, b) => a! - b!))
    expect([rows[0], rows.at(-1)]).toEqual([0, 9])
    expect(rows.length).toBe(60 - 'x.x ┤'.length)
  })

  it('marks the validation losses', () => {
    const points = falling.map((point) => ({
      ...point,
      ...(point.step % 100 === 0 && { validationLoss: point.loss! + 0.5 }),
    }))
    const text = drawLossCurve(points, { width: 60, height: 10 })
    expect(text.split('●').length - 1).toBe(5 + 1)
    expect(text).toContain('● validation 2.504')
  })

  it('labels both axes', () => {
    const text = drawLossCurve(falling, { width: 70, height: 10 })
    expect(text.match(/^.* ┤/gm)).toEqual(['3.5 ┤', '3.0 ┤', '2.5 ┤'])
    expect(text.split('\n').at(-1)!.trim().split(/ +/)).toEqual(['100', '200', '300', '400', '500'])
  })

  it('colours only when asked to, and colours change nothing else', () => {
    const points = [...falling, { step: 501, loss: 2, validationLoss: 2.2 }]
    const text = drawLossCurve(points, plain)
    expect(text).not.toContain('\x1b')
    const colored = drawLossCurve(points, { ...plain, color: true })
    expect(colored).toContain('\x1b[33m●\x1b[0m')
    // oxlint-disable-next-line no-control-regex
    expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(text)
  })

  it('averages noise away', () => {
    const noisy = Array.from({ length: 10_000 }, (_, i) => ({ step: i, loss: 4 - i / 5000 + (i % 2 ? 0.5 : -0.5) }))
    const rows = profile(drawLossCurve(noisy, { width: 80, height: 9 }))
    expect(rows).toEqual([...rows].sort((a, b) => a! - b!))
  })

  it('does not depend on the order of the points', () => {
    expect(drawLossCurve([...falling].reverse(), plain)).toBe(drawLossCurve(falling, plain))
  })

  it('draws a single point, and a constant as one level line', () => {
    const one = drawLossCurve([{ step: 7, loss: 2.5 }], plain)
    expect(one.match(/[\u2801-\u28ff]/g)).toHaveLength(1)
    expect(one).toMatch(/ 7$/)
    const constant = drawLossCurve(
      falling.map(({ step }) => ({ step, loss: 3 })),
      plain,
    )
    expect(new Set(profile(constant)).size).toBe(1)
  })

  it('leaves out what is not finite and says so', () => {
    const broken = [...falling, { step: 501, loss: NaN }, { step: 502, loss: Infinity }, { step: NaN, loss: 1 }]
    const text = drawLossCurve(broken, { width: 60, height: 5 })
    expect(text.split('\n')[0]).toMatch(/\(3 not finite\)$/)
    expect(text).not.toContain('NaN')
    expect(drawLossCurve([{ step: 1, loss: 1, validationLoss: NaN }], { width: 60 })).toContain('(1 not finite)')
    expect(drawLossCurve([{ step: 1, loss: NaN }])).toBe('loss: none of 1 points is finite')
    expect(drawLossCurve([])).toBe('loss: no points yet')
  })

  it.each<[string, LossPoint[]]>([
    [
      'huge numbers',
      [
        { step: 0, loss: 1e300 },
        { step: 1e9, loss: -1e29 },
        { step: 2e9, loss: 1e29 },
      ],
    ],
    [
      'tiny differences',
      [
        { step: 1, loss: 1 },
        { step: 2, loss: 1 + 1e-15 },
      ],
    ],
    [
      'tiny numbers',
      [
        { step: 1, loss: 1e-300 },
        { step: 2, loss: 0 },
        { step: 3, loss: -0 },
      ],
    ],
    [
      'negative numbers',
      [
        { step: 1, loss: -5 },
        { step: 2, loss: -3, validationLoss: -4 },
      ],
    ],
    ['one step many times', Array.from({ length: 9 }, (_, i) => ({ step: 5, loss: i }))],
    ['validation only', [{ step: 1, validationLoss: 2 }]],
    ['many points', Array.from({ length: 1e5 }, (_, i) => ({ step: i, loss: Math.cos(i / 1e4) }))],
  ])('fits any width with %s', (_, points) => {
    for (const width of [40, 41, 57, 80])
      for (const height of [3, 12]) {
        const text = drawLossCurve(points, { width, height })
        expect(widest(text), text).toBeLessThanOrEqual(width)
        expect(text.split('\n').length).toBe(height + 3)
        expect(text).not.toMatch(/NaN|undefined|Infinity/)
      }
  })

  it('refuses sizes that are none', () => {
    for (const options of [{ width: 39 }, { width: 80.5 }, { height: 2 }, { height: NaN }, { heigth: 5 }])
      expect(() => drawLossCurve(falling, options as never)).toThrow(ArgumentError)
  })
})

it('ticks are round, in range, and written alike', () => {
  expect(tickLabels(ticks(0.07, 0.43, 4))).toEqual(['0.1', '0.2', '0.3', '0.4'])
  expect(tickLabels(ticks(1.37, 4.21, 4))).toEqual(['2', '3', '4'])
  expect(tickLabels(ticks(1, 3, 10, 1))).toEqual(['1', '2', '3'])
  expect(tickLabels(ticks(-1, 1, 4))).toEqual(['-1.0', '-0.5', '0.0', '0.5', '1.0'])
  expect(ticks(0, 1, 10)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
  expect(tickLabels([0, 1e8])).toEqual(['0.0e+0', '1.0e+8'])
})

it('a canvas sets the dots of braille characters', () => {
  const canvas = new BrailleCanvas(2, 1)
  canvas.line(0, 3, 3, 0)
  expect(canvas.character(0, 0) + canvas.character(1, 0)).toBe('⡠⠊')
  expect(new BrailleCanvas(1, 1).character(0, 0)).toBe(' ')
})
