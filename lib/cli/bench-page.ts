import type { PlacedResult, Setting } from '../bench/index.ts'
import { peakLines } from './bench-table.ts'
import { colorOf, escape, rooflinePlot } from './roofline-plot.ts'

const style = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto } svg text { font-size: 12px; fill: currentColor }
.grid { stroke: currentColor; opacity: .12 } .roof { stroke: currentColor; opacity: .6 }
circle { stroke: Canvas; stroke-width: 1 } circle:hover { stroke: currentColor; stroke-width: 2 }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 2px 6px; white-space: nowrap; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent) }
th:nth-child(-n+4), td:nth-child(-n+4) { text-align: left }
td:nth-child(2) { white-space: normal; min-width: 16em }
.bar { width: 100px } .bar div { height: 10px }
.peaks { opacity: .75 }
`

/** One page that needs nothing else: a roofline plot and a table for each instruction set and number of threads. */
export function benchPage(cpu: string, settings: readonly Setting[], results: readonly PlacedResult[]): string {
  const ops = [...new Set(results.map(({ op }) => op))]
  const sections = settings.map((setting) => {
    const { isa, threads } = setting.peaks
    const own = results.filter((result) => result.isa === isa && result.threads === threads)
    const place = setting.placement ? `: ${setting.placement.state}` : ''
    return [
      `<h2>${escape(`${isa}, ${threads} thread${threads > 1 ? 's' : ''}${place}`)}</h2>`,
      `<p class="peaks">${peakLines(setting.peaks).map(escape).join('<br>')}</p>`,
      rooflinePlot(setting, own, ops),
      table(own, ops),
    ].join('\n')
  })
  const title = `heedful bench: ${escape(cpu)}`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>${style}</style></head>
<body><h1>${title}</h1>
${sections.join('\n')}
</body></html>
`
}

function table(results: readonly PlacedResult[], ops: readonly string[]): string {
  const rows = results.map(({ op, name, shape, dtype, error, ms, gflops, gbps, bound, roofline = 0 }) => {
    const width = Math.min(100, 100 * roofline).toFixed(1)
    const bar = `<div style="width:${width}%;background:${colorOf(op, ops)}"></div>`
    const cells = [op, name, shape, dtype, ms.toPrecision(4), gflops?.toFixed(1) ?? '', gbps?.toFixed(1) ?? '']
    const fraction = `${(100 * roofline).toFixed(0)} % of ${bound ?? ''}`
    return `<tr>${cells.map((cell) => `<td>${escape(cell)}</td>`).join('')}<td class="bar">${bar}</td><td>${escape(fraction)}</td><td>${error?.toExponential(1) ?? ''}</td></tr>`
  })
  const heads = ['operation', '', 'shape', 'dtype', 'ms', 'GFLOP/s', 'GB/s', '', 'of the roofline', 'error']
  return `<table><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr>\n${rows.join('\n')}</table>`
}
