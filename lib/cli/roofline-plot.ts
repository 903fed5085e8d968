import type { PlacedResult, Setting } from '../bench/index.ts'

/** Text as HTML and SVG have it. */
export const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!)

const size = { width: 900, height: 420, left: 56, right: 120, top: 12, bottom: 40 }

interface Axis {
  readonly low: number
  readonly high: number
  at(value: number): number
}

/** A logarithmic axis of whole decades around the values. */
function axis(values: readonly number[], from: number, to: number): Axis {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(10 * low, 10 ** Math.ceil(Math.log10(Math.max(...values))))
  const at = (value: number): number => from + ((to - from) * Math.log(value / low)) / Math.log(high / low)
  return { low, high, at }
}

const decades = ({ low, high }: Axis): number[] => {
  const list: number[] = []
  for (let tick = low; tick <= high * 1.001; tick *= 10) list.push(tick)
  return list
}

const label = (tick: number): string => (tick >= 1 ? String(Math.round(tick)) : String(Number(tick.toPrecision(1))))

/** A stable colour for an operation. */
export function colorOf(op: string, ops: readonly string[]): string {
  return `hsl(${Math.round((360 * ops.indexOf(op)) / ops.length)} 65% 50%)`
}

/**
 * GFLOP/s over operations per byte, both logarithmic: what bandwidth allows are slopes, what arithmetic allows is level
 * (Williams, Waterman & Patterson 2009). Results without arithmetic have no place in it.
 */
export function rooflinePlot({ peaks }: Setting, results: readonly PlacedResult[], ops: readonly string[]): string {
  const points = results.flatMap((result) =>
    result.gflops && result.gbps ? [{ result, x: result.gflops / result.gbps, y: result.gflops }] : [],
  )
  if (points.length === 0) return ''
  const compute = Object.values(peaks.compute)
  const { width, height, left, right, top, bottom } = size
  const x = axis([0.1, 100, ...points.map((p) => p.x)], left, width - right)
  const y = axis([1, ...compute, ...points.map((p) => p.y)], height - bottom, top)
  const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
    `<line class="${kind}" x1="${x.at(x1).toFixed(1)}" y1="${y.at(y1).toFixed(1)}" x2="${x.at(x2).toFixed(1)}" y2="${y.at(y2).toFixed(1)}"/>`
  const text = (px: number, py: number, content: string, anchor = 'start'): string =>
    `<text x="${px.toFixed(1)}" y="${py.toFixed(1)}" text-anchor="${anchor}">${escape(content)}</text>`

  const grid = [
    ...decades(x).map(
      (t) => line(t, y.low, t, y.high, 'grid') + text(x.at(t), height - bottom + 16, label(t), 'middle'),
    ),
    ...decades(y).map((t) => line(x.low, t, x.high, t, 'grid') + text(left - 6, y.at(t) + 4, label(t), 'end')),
    text((left + width - right) / 2, height - 6, 'operations per byte', 'middle'),
    text(left + 4, top + 10, 'GFLOP/s'),
  ]
  const highest = Math.max(...compute)
  const slopes = Object.entries(peaks.read).map(([level, rate], i) => {
    const [start, end] = [Math.max(x.low, y.low / rate), highest / rate]
    // Each label a little further up its slope, for slopes that lie close together.
    const at = start * (end / start) ** (0.2 + 0.15 * i)
    const name = text(x.at(at) + 6, y.at(at * rate) + 4, `${level} ${rate.toFixed(0)} GB/s`)
    return line(start, start * rate, end, highest, 'roof') + name
  })
  const roofs = Object.entries(peaks.compute).map(
    ([format, rate]) =>
      line(rate / Math.max(...Object.values(peaks.read)), rate, x.high, rate, 'roof') +
      text(width - right + 6, y.at(rate) + 4, `${format} ${rate.toFixed(0)} GFLOP/s`),
  )
  const marks = points.map(({ result: { op, name, shape, roofline = 0, bound }, x: px, y: py }) => {
    const title = `${op}: ${name} (${shape})\n${py.toFixed(1)} GFLOP/s, ${(100 * roofline).toFixed(0)} % of ${bound}`
    return `<circle cx="${x.at(px).toFixed(1)}" cy="${y.at(py).toFixed(1)}" r="5" fill="${colorOf(op, ops)}"><title>${escape(title)}</title></circle>`
  })
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="roofline plot">${[...grid, ...slopes, ...roofs, ...marks].join('\n')}</svg>`
}
