import { Command as Program, CommanderError } from 'commander'
import { HeedfulError, nearest } from '../errors.ts'
import type { Command } from './command.ts'
import { exitCodes, Interrupted } from './interrupt.ts'
import { packageVersion } from './version.ts'

/** Runs `heedful <arguments>` with these commands; gives the exit code. What goes wrong is told on standard error. */
export async function run(commands: readonly Command[], args: readonly string[]): Promise<number> {
  try {
    await programOf(commands).parseAsync(args, { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    return report(error)
  }
}

function programOf(commands: readonly Command[]): Program {
  const program = new Program('heedful')
  program
    .description('Trains and runs transformers on the CPU.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .showSuggestionAfterError(false)
  for (const { name, describe, register } of commands) {
    const command = program.command(name).description(describe)
    explainErrors(command, () => optionsOf(command))
    register(command)
  }
  explainErrors(program, () => [...optionsOf(program), ...commands.map(({ name }) => name)])
  return program
}

/** Errors of usage in the words of the others: `heedful: unknown option '--sede'; did you mean --seed?`. */
function explainErrors(command: Program, known: () => string[]): void {
  command.configureOutput({
    outputError: (text, write) => {
      const unknown = /^error: unknown (?:option|command) '([^'=]*)/.exec(text)?.[1]
      const near = unknown === undefined ? undefined : nearest(unknown, known())
      const hint = near ? `did you mean ${near}?` : `see ${fullName(command)} --help`
      write(`heedful: ${text.trim().replace(/^error: |\.$/g, '')}; ${hint}\n`)
    },
  })
}

const optionsOf = (command: Program): string[] => [
  '--help',
  ...command.options.flatMap(({ long }) => (long ? [long] : [])),
]

function fullName(command: Program): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name()
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  if (error instanceof Interrupted) return exitCodes.interrupted
  // What went wrong on purpose is told in a sentence; anything else is a mistake of ours, and needs its stack.
  const text = error instanceof HeedfulError ? error.message : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`heedful: ${text?.replace(/^heedful: /, '')}\n`)
  return exitCodes.failed
}
