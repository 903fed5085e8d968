import type { Command } from '../command.ts'
import { packageVersion } from '../version.ts'

export const info: Command = {
  name: 'info',
  describe: 'the CPU, the instruction set in use, threads',
  register(program) {
    program.option('--json', 'print one line of JSON').action(async ({ json }: { json?: boolean }) => {
      const { runtime } = await import('../../runtime.ts')
      const figures = {
        version: packageVersion(),
        cpu: runtime.cpuName(),
        isa: runtime.isa(),
        availableIsas: runtime.availableIsas(),
        threads: runtime.threads(),
        node: process.version,
        platform: process.platform,
        arch: process.arch,
      }
      if (json) return void process.stdout.write(`${JSON.stringify(figures)}\n`)
      const lines = [
        ['heedful', figures.version],
        ['CPU', figures.cpu],
        ['instruction set', `${figures.isa} (available: ${figures.availableIsas.join(', ')})`],
        ['threads', figures.threads],
        ['Node', `${figures.node} on ${figures.platform}-${figures.arch}`],
      ]
      process.stdout.write(lines.map(([name, value]) => `${String(name).padEnd(17)}${value}\n`).join(''))
    })
  },
}
