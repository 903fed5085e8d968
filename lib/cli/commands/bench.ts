import { InvalidArgumentError, type Command as Program } from 'commander'
import type { BenchEvent, PlacedResult, Setting } from '../../bench/index.ts'
import type { Command } from '../command.ts'
import { withInterrupt } from '../interrupt.ts'
import { integer } from '../options.ts'

interface Options {
  shapes?: string[]
  dtype?: string[]
  isa?: string[]
  threads?: number[]
  quick?: boolean
  json?: boolean
  html?: string
}

/** Milliseconds for each case. `overhead` is for what it is run with, the peaks beside it, and where the threads are. */
const caseTime = { usual: 400, quick: 100, overhead: 400, all: 270_000 }

/** Under five minutes in all, however many cases there are, and under one if it is to be quick. */
const timeOf = (count: number, quick = false): number =>
  quick ? caseTime.quick : Math.max(caseTime.quick, Math.min(caseTime.usual, caseTime.all / count - caseTime.overhead))

/** A list with commas between. */
const list =
  <T>(parse: (text: string) => T) =>
  (text: string): T[] =>
    text.split(',').map((word) => {
      if (word.trim() === '') throw new InvalidArgumentError('Expected a list with commas between.')
      return parse(word.trim())
    })

const words = list((word) => word)

/** heedful bench: every kernel as a fraction of what this machine can do. */
export const benchCommand: Command = {
  name: 'bench',
  describe: 'the speed of every kernel, as a fraction of what this machine can do at most',
  register(program) {
    program
      .argument('[op...]', 'operations, e.g. matmul attention; all unless said')
      .option('--shapes <list>', 'sizes in place of those of real models, e.g. matmul --shapes 512x768x768', words)
      .option('--dtype <list>', 'only these number formats', words)
      .option('--isa <list>', 'instruction sets (default: the one in use)', words)
      .option('--threads <list>', 'numbers of threads (default: 1 and all)', list(integer(1, 1024)))
      .option('--quick', 'fewer cases, less time for each: under a minute')
      .option('--json', 'print one line of JSON for each case')
      .option('--html <file>', 'write a page with a roofline plot as well')
      .action(async (ops: string[], options: Options, command: Program) =>
        withInterrupt((signal) => bench(ops, options, signal, (message) => command.error(`error: ${message}`))),
      )
  },
}

async function bench(
  ops: readonly string[],
  options: Options,
  signal: AbortSignal,
  wrong: (message: string) => never,
): Promise<void> {
  const { runCases } = await import('../../bench/index.ts')
  const { selectCases, unknown } = await import('../../bench/select.ts')
  const { runtime } = await import('../../runtime.ts')
  const { html, json, quick, shapes, dtype, isa: isas = [runtime.isa()] } = options
  const available = runtime.availableIsas()
  for (const isa of isas) if (!available.includes(isa)) wrong(unknown('instruction set', isa, available))
  const selected = selectCases({ ops, shapes, quick }, wrong)
  const formats = [...new Set(selected.map((given) => given.dtype))] as string[]
  for (const format of dtype ?? []) if (!formats.includes(format)) wrong(unknown('dtype', format, formats))
  const cases = selected.filter((given) => dtype?.includes(given.dtype) ?? true)
  const threads = options.threads ?? [...new Set([1, runtime.threads()])]

  const time = timeOf(cases.length * threads.length, quick)
  const report = await import('../bench-report.ts')
  const display = new report.BenchReport(json ?? false)
  const settings: Setting[] = []
  const results: PlacedResult[] = []
  const record = (event: BenchEvent): void => {
    if (event.type === 'setting') settings.push(event.setting)
    if (event.type === 'result') results.push(event.result)
  }
  try {
    for await (const event of runCases(cases, {
      isas: [...new Set(isas)],
      threads: [...new Set(threads)],
      time,
      signal,
    })) {
      record(event)
      display.show(event)
    }
  } finally {
    display.clear()
  }
  if (html !== undefined) {
    const { benchPage } = await import('../bench-page.ts')
    const { writeTextAtomically } = await import('../../files/atomic-file.ts')
    await writeTextAtomically(html, benchPage(runtime.cpuName(), settings, results))
    process.stderr.write(`${html}: a roofline plot of ${results.length} results\n`)
  }
}
