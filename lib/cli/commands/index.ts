import type { Command } from '../command.ts'
import { benchCommand } from './bench.ts'
import { generateCommand } from './generate.ts'
import { info } from './info.ts'
import { quantizeCommand } from './quantize.ts'
import { train } from './train.ts'

/** In the order of `heedful --help`. */
export const commands: readonly Command[] = [train, generateCommand, quantizeCommand, benchCommand, info]
