#!/usr/bin/env node
import { commands } from './commands/index.ts'
import { run } from './run.ts'

// A reader that has seen enough, such as `head`, closes the pipe: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// Not process.exit: what was written to a pipe is still on its way.
void run(commands, process.argv.slice(2)).then((code) => {
  process.exitCode = code
})
