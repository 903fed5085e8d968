import type { Command } from '../command.ts'
import { generateCommand } from './generate.ts'
import { info } from './info.ts'

/** In the order of `heedful --help`. */
export const commands: readonly Command[] = [generateCommand, info]
