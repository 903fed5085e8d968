import type { Command } from '../command.ts'
import { packageVersion } from '../version.ts'

export const info: Command = {
  name: 'info',
  describe: 'the CPU, the instruction set in use, threads, and what they can do at most',
  register(program) {
    program.option('--json', 'print one line of JSON').action(async ({ json }: { json?: boolean }) => {
      const { runtime } = await import('../../runtime.ts')
      const { Machine } = await import('../../bench/index.ts')
      const { peakLines } = await import('../bench-table.ts')
      using machine = new Machine()
      const { isa: _, threads: __, ...peaks } = await machine.peaks()
      const placement = await machine.placement()
      const figures = {
        version: packageVersion(),
        cpu: runtime.cpuName(),
        isa: runtime.isa(),
        availableIsas: runtime.availableIsas(),
        threads: runtime.threads(),
        caches: Object.fromEntries(machine.levels.filter(({ size }) => size < Infinity).map((l) => [l.name, l.size])),
        peaks,
        placement: placement ?? null,
        node: process.version,
        platform: process.platform,
        arch: process.arch,
      }
      if (json) return void process.stdout.write(`${JSON.stringify(figures)}\n`)
      const lines: [string, string | number][] = [
        ['heedful', figures.version],
        ['CPU', figures.cpu],
        ['instruction set', `${figures.isa} (available: ${figures.availableIsas.join(', ')})`],
        ['threads', figures.threads],
        ...(placement ? [['placement', placement.state] satisfies [string, string]] : []),
        ...peakLines({ ...peaks, isa: figures.isa, threads: figures.threads }).map((line, i): [string, string] => [
          i ? '' : 'peaks',
          line,
        ]),
        ['Node', `${figures.node} on ${figures.platform}-${figures.arch}`],
      ]
      process.stdout.write(lines.map(([name, value]) => `${String(name).padEnd(17)}${value}\n`).join(''))
    })
  },
}
