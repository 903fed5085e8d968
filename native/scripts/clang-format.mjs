// Formats the C++ sources; with --check only tells which are not formatted. Does nothing without clang-format.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { argv, exit } from 'node:process'
import { fileURLToPath } from 'node:url'

const native = fileURLToPath(new URL('..', import.meta.url))
const sources = readdirSync(native, { recursive: true })
  .filter((path) => /\.(cc|h)$/.test(path))
  .map((path) => join(native, path))
const mode = argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i']
if (spawnSync('clang-format', ['--version'], { stdio: 'ignore' }).status !== 0) {
  console.warn('clang-format is not installed: the C++ sources are left alone')
} else {
  exit(spawnSync('clang-format', [...mode, ...sources], { stdio: 'inherit' }).status ?? 1)
}
