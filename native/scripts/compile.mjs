// Runs cmake-js, with what the platform needs, and explains a failure.
//   node native/scripts/compile.mjs [cmake-js command and options]     default: compile
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism, platform } from 'node:os'
import { argv, env, execPath, exit } from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const require = createRequire(import.meta.url)

const compilers = {
  linux: 'g++ 11 or clang++ 14, e.g. `apt install g++ cmake`, `dnf install gcc-c++ cmake`, `apk add g++ cmake make`',
  darwin: 'Xcode 14, `xcode-select --install`, and CMake, `brew install cmake`',
  win32: 'Visual Studio 2022 with "Desktop development with C++" and "C++ Clang tools for Windows"',
}

function runs(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

function explain() {
  const missing = []
  if (!runs('cmake')) missing.push('There is no `cmake` in PATH.')
  if (platform() !== 'win32' && !(env.CXX ? runs(env.CXX) : runs('c++') || runs('g++') || runs('clang++')))
    missing.push(`There is no C++ compiler${env.CXX ? ` '${env.CXX}' (CXX)` : ''} in PATH.`)
  return [
    '',
    'heedful: the native addon could not be built.',
    ...missing,
    `It needs CMake >= 3.18 and a C++20 compiler: ${compilers[platform()] ?? 'a recent GCC or Clang'}.`,
    'Then: npm rebuild heedful (in a clone: npm run build:native).',
    '',
  ].join('\n')
}

/** Returns the exit status. */
export function compile(command = 'compile', ...options) {
  // The kernels are written for GCC's and Clang's builtins.
  const toolset = platform() === 'win32' ? ['--toolset', 'ClangCL'] : []
  const result = spawnSync(
    execPath,
    [require.resolve('cmake-js/bin/cmake-js'), command, ...toolset, '--log-level', 'warn', ...options],
    { cwd: root, stdio: 'inherit', env: { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()), ...env } },
  )
  if (result.status !== 0) console.error(explain())
  return result.status ?? 1
}

if (import.meta.url === pathToFileURL(argv[1]).href) exit(compile(...argv.slice(2)))
