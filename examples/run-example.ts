import { parseArgs, type ParseArgsConfig } from 'node:util'
import { exitCodes, Interrupted, withInterrupt } from '../lib/cli/interrupt.ts'

type Values = Readonly<Record<string, string | boolean | undefined>>

export interface Example<Options> {
  /** What `--help` prints. */
  usage: string
  /** What `parseArgs` takes, beside --help. */
  options: NonNullable<ParseArgsConfig['options']>
  /** Options and the words beside them; throws TypeError for what makes no sense. */
  read: (values: Values, words: readonly string[]) => Options
  run: (options: Options, signal: AbortSignal) => Promise<void>
}

/** Runs an example as a command: exit status 0, 1 (failed), 2 (wrong usage) or 130 (interrupted). */
export async function runExample<Options>({ usage, options, read, run }: Example<Options>): Promise<void> {
  process.exitCode = await exitCodeOf()

  async function exitCodeOf(): Promise<number> {
    let chosen: Options
    try {
      const { values, positionals } = parseArgs({
        options: { ...options, help: { type: 'boolean', default: false } },
        allowPositionals: true,
      })
      if (values['help'] === true) {
        process.stdout.write(usage)
        return exitCodes.ok
      }
      chosen = read(values as Values, positionals)
    } catch (error) {
      process.stderr.write(`${(error as Error).message}\n${usage}`)
      return exitCodes.usage
    }
    try {
      await withInterrupt((signal) => run(chosen, signal))
      return exitCodes.ok
    } catch (error) {
      if (error instanceof Interrupted) return exitCodes.interrupted
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      return exitCodes.failed
    }
  }
}

/** A whole number that an option gives. */
export function integerOf(values: Values, name: string, least: number): number {
  const value = Number(values[name])
  if (!Number.isInteger(value) || value < least)
    throw new TypeError(`--${name} should be a whole number of at least ${least}, got ${String(values[name])}`)
  return value
}
