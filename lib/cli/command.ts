import type { Command as Program } from 'commander'

/** One word after `heedful`. */
export interface Command {
  readonly name: string
  /** One line, as `heedful --help` shows it. */
  readonly describe: string
  /**
   * Adds options, arguments and an action. What an action needs it imports when it runs, so that help comes at once, and
   * even where the addon can not be loaded.
   */
  register(program: Program): void
}
