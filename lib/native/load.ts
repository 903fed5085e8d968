import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { NativeLoadError } from '../errors.ts'
import type { Native } from './native.ts'

/** The addon: a build of this machine (build/Release), else the prebuilt one (prebuilds/). */
export const native: Native = load()

function load(): Native {
  const require = createRequire(import.meta.url)
  // lib/native and dist/native both lie two levels below the package.
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const find = require('node-gyp-build') as { resolve(directory: string): string }
  let file: string
  try {
    file = find.resolve(root)
  } catch (cause) {
    throw new NativeLoadError(
      `heedful: there is no native addon for ${system()} in ${root}; looked into build/Release, build/Debug and prebuilds/.\n` +
        'It is built by the install script, which npm leaves out with --ignore-scripts. ' +
        'Build it with `npm rebuild heedful` (in a clone: `npm run build:native`); that needs CMake >= 3.18 and a C++20 compiler.',
      { cause },
    )
  }
  try {
    return require(file) as Native
  } catch (cause) {
    const message = (cause as Error).message
    // The addon itself refused a setting of the environment, and says which and why.
    if ((cause as { code?: unknown }).code === 'HEEDFUL_NATIVE')
      throw new NativeLoadError(`heedful: ${message}`, { cause })
    throw new NativeLoadError(
      `heedful: ${file} does not load on ${system()}: ${message}\n` +
        'It may come from another system, C library or CPU (a node_modules that was copied?). ' +
        'Build it here with `npm rebuild heedful --build-from-source` (in a clone: `npm run build:native`).',
      { cause },
    )
  }
}

function system(): string {
  const libc = process.platform === 'linux' ? ` (${isGlibc() ? 'glibc' : 'musl'})` : ''
  return `${process.platform}-${process.arch}${libc}, Node ${process.version}`
}

function isGlibc(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime !== undefined
}
