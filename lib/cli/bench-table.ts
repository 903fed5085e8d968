import type { Peaks, PlacedResult, Setting } from '../bench/index.ts'
import { paint } from './terminal.ts'

/** `--json`: figures that are not there are null. */
export function resultLine(result: PlacedResult): string {
  const { op, name, shape, dtype, isa, threads, ms, gflops, gbps, bound, roofline, error, spread, placement } = result
  const rounded = (x: number | undefined): number | null => (x === undefined ? null : Number(x.toPrecision(5)))
  return JSON.stringify({
    op,
    name,
    shape,
    dtype,
    isa,
    threads,
    ms: rounded(ms),
    gflops: rounded(gflops),
    gbps: rounded(gbps),
    bound: bound ?? null,
    roofline: rounded(roofline),
    error: rounded(error),
    spread: rounded(spread),
    placement: placement ?? null,
  })
}

const figure = (x: number | undefined, width = 0): string =>
  (x === undefined ? '–' : x >= 99.95 ? x.toFixed(0) : x >= 1 ? x.toFixed(1) : x.toPrecision(2)).padStart(width)

const bandwidths = ['read', 'write', 'copy', 'update'] as const
const levels = ['L1', 'L2', 'L3', 'DRAM'] as const

/** `f32 118 GFLOP/s` and `read 219 L1, 115 L2, 97 L3, 28 DRAM GB/s`, … */
export function peakLines({ compute, ...peaks }: Peaks): string[] {
  const byLevel = bandwidths.map((kind) => {
    const known = levels.filter((level) => peaks[kind][level] !== undefined)
    return `${kind} ${known.map((level) => `${figure(peaks[kind][level])} ${level}`).join(', ')} GB/s`
  })
  const formats = Object.entries(compute).map(([format, rate]) => `${format} ${figure(rate)} GFLOP/s`)
  return [formats.join(', '), ...byLevel]
}

/** Widths of the columns between the names and the bar; what is left of a line is shared by those two. */
const columns = { shape: 13, dtype: 5, ms: 8, gflops: 7, gbps: 6, percent: 5, bound: 7, error: 7, spread: 6 }
const opWidth = 13
const fixed = opWidth + 1 + Object.values(columns).reduce((sum, width) => sum + width + 1, 0)
/** Of lines that go to a file. */
const usualWidth = 150
/** Below this the names have a line of their own. */
const narrowest = 118

interface Layout {
  readonly names: number
  readonly bar: number
  readonly twoLines: boolean
}

function layoutOf(width: number): Layout {
  if (width < narrowest)
    return { names: width - opWidth - 2, bar: Math.max(4, width - fixed + opWidth - 3), twoLines: true }
  const bar = width < 130 ? 8 : 20
  return { names: Math.min(52, width - fixed - bar - 2), bar, twoLines: false }
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar of so many cells, full at 1. */
export function bar(fraction: number, cells = 20): string {
  const steps = Math.round(8 * cells * Math.min(1, Math.max(0, fraction)))
  return `${'█'.repeat(Math.floor(steps / 8))}${eighths[steps % 8]}`.padEnd(cells, '·')
}

/** `text` in so many characters; what is too long loses its middle, for its end tells variants apart. */
function fit(text: string, width: number): string {
  if (text.length <= width) return text.padEnd(width)
  const end = Math.floor(width / 2)
  return `${text.slice(0, width - end - 1)}…${text.slice(text.length - end)}`
}

/** What stands above the results of an instruction set and a number of threads. */
export function settingText({ peaks, placement }: Setting, color: boolean, width = usualWidth): string {
  const { names, bar: cells, twoLines } = layoutOf(width)
  const place = placement ? `: ${placement.state}, ${figure(placement.handshakeNanoseconds)} ns to and fro` : ''
  const title = `${peaks.isa}, ${peaks.threads} thread${peaks.threads > 1 ? 's' : ''}${place}`
  const header = [
    ...(twoLines ? [' '] : ['operation'.padEnd(opWidth), ''.padEnd(names)]),
    'shape'.padEnd(columns.shape),
    'dtype'.padEnd(columns.dtype),
    'ms'.padStart(columns.ms),
    'GFLOP/s'.padStart(columns.gflops),
    'GB/s'.padStart(columns.gbps),
    fit(cells < 20 ? 'roofline' : 'of the roofline', cells + columns.percent + 1),
    'bound'.padEnd(columns.bound),
    'error',
  ].join(' ')
  return ['', title, ...peakLines(peaks).map((line) => `  peaks: ${line}`), paint(header, 'dim', color), ''].join('\n')
}

export function resultText(result: PlacedResult, color: boolean, width = usualWidth): string {
  const { op, name, shape, dtype, ms, gflops, gbps, bound = '', roofline = 0, error, spread } = result
  const { names, bar: cells, twoLines } = layoutOf(width)
  const shade = roofline >= 0.8 ? 'green' : roofline >= 0.5 ? 'yellow' : 'red'
  const title = `${fit(op, opWidth)} ${fit(name, names)}`
  const line = [
    twoLines ? ' ' : title,
    fit(shape, columns.shape),
    fit(dtype, columns.dtype),
    ms.toPrecision(4).padStart(columns.ms),
    figure(gflops, columns.gflops),
    figure(gbps, columns.gbps),
    paint(bar(roofline, cells), shade, color),
    `${(100 * roofline).toFixed(0)} %`.padStart(columns.percent),
    bound.padEnd(columns.bound),
    (error?.toExponential(1) ?? '').padEnd(columns.error),
    spread > 0.05 ? paint(`± ${(100 * spread).toFixed(0)} %`, 'dim', color) : '',
  ].join(' ')
  return twoLines ? `${title.trimEnd()}\n${line.trimEnd()}` : line.trimEnd()
}
