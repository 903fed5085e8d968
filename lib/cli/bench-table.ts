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

const widths = { op: 15, name: 46, shape: 15, dtype: 5 }
const cells = 20
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar of 20 cells, full at 1. */
export function bar(fraction: number): string {
  const steps = Math.round(8 * cells * Math.min(1, Math.max(0, fraction)))
  return `${'█'.repeat(Math.floor(steps / 8))}${eighths[steps % 8]}`.padEnd(cells, '·')
}

/** What stands above the results of an instruction set and a number of threads. */
export function settingText({ peaks, placement }: Setting, color: boolean): string {
  const place = placement ? `: ${placement.state}, ${figure(placement.handshakeNanoseconds)} ns to and fro` : ''
  const title = `${peaks.isa}, ${peaks.threads} thread${peaks.threads > 1 ? 's' : ''}${place}`
  const header = [
    'operation'.padEnd(widths.op),
    ''.padEnd(widths.name),
    'shape'.padEnd(widths.shape),
    'dtype'.padEnd(widths.dtype),
    'ms'.padStart(9),
    'GFLOP/s'.padStart(8),
    'GB/s'.padStart(6),
    ' fraction of the roofline',
  ].join(' ')
  return ['', title, ...peakLines(peaks).map((line) => `  peaks: ${line}`), paint(header, 'dim', color), ''].join('\n')
}

export function resultText(result: PlacedResult, color: boolean): string {
  const { op, name, shape, dtype, ms, gflops, gbps, bound, roofline = 0, error, spread } = result
  const fit = (text: string, width: number): string =>
    (text.length > width ? `${text.slice(0, width - 1)}…` : text).padEnd(width)
  const shade = roofline >= 0.8 ? 'green' : roofline >= 0.5 ? 'yellow' : 'red'
  return [
    fit(op, widths.op),
    fit(name, widths.name),
    fit(shape, widths.shape),
    fit(dtype, widths.dtype),
    ms.toPrecision(4).padStart(9),
    figure(gflops, 8),
    figure(gbps, 6),
    ` ${paint(bar(roofline), shade, color)}`,
    `${(100 * roofline).toFixed(0)} %`.padStart(5),
    `of ${bound}`,
    ...(error === undefined ? [] : [`error ${error.toExponential(1)}`]),
    ...(spread > 0.05 ? [paint(`± ${(100 * spread).toFixed(0)} %`, 'dim', color)] : []),
  ].join(' ')
}
