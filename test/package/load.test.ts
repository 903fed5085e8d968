import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runtime } from '../../lib/runtime.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let scratch: string
/** The package as npm would install it, with dist/ built from these sources; its addon is that of the checkout. */
let installed: string

interface Run {
  status: number | null
  stdout: string
  stderr: string
}

function run(command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Run {
  const { HEEDFUL_ISA, HEEDFUL_THREADS, ...inherited } = process.env
  return spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...inherited, ...env } })
}
const node = (cwd: string, code: string, env?: Record<string, string>): Run =>
  run(process.execPath, ['--input-type=commonjs', '-e', code], cwd, env)

/** A copy of the package, with what `change` does to it; the folder to run in. */
function copyOf(name: string, change: (folder: string) => void): string {
  const project = join(scratch, name)
  const folder = join(project, 'node_modules', 'heedful')
  mkdirSync(join(project, 'node_modules'), { recursive: true })
  cpSync(installed, folder, { recursive: true, verbatimSymlinks: true })
  rmSync(join(folder, 'build'), { recursive: true, force: true })
  change(folder)
  return project
}

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'heedful-package-'))
  installed = join(scratch, 'app', 'node_modules', 'heedful')
  mkdirSync(installed, { recursive: true })
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const built = run(
    process.execPath,
    [
      tsc,
      '-p',
      'tsconfig.build.json',
      '--outDir',
      join(installed, 'dist'),
      '--sourceMap',
      'false',
      '--declaration',
      'false',
      '--declarationMap',
      'false',
    ],
    root,
  )
  expect(built.stdout + built.stderr).toBe('')
  for (const path of ['package.json', 'native/scripts'])
    cpSync(join(root, path), join(installed, path), { recursive: true })
  // Links, so that no test copies megabytes.
  for (const path of ['build', 'node_modules']) symlinkSync(join(root, path), join(installed, path), 'junction')
}, 60_000)
afterAll(() => rmSync(scratch, { recursive: true, force: true }), 60_000)

describe('the installed package', () => {
  const app = (): string => join(scratch, 'app')

  it('is loaded by require() of a CommonJS script', () => {
    const { stdout, stderr, status } = node(
      app(),
      `const { tensor } = require('heedful')
       const { adamW } = require('heedful/train')
       const { bench } = require('heedful/bench')
       console.log(tensor([1, 2]).add(1).toArray().join(), typeof adamW, typeof bench, require('heedful/package.json').name)`,
      { NODE_NO_WARNINGS: '1' },
    )
    expect({ stdout, stderr, status }).toEqual({ stdout: '2,3 function function heedful\n', stderr: '', status: 0 })
  })

  it('is loaded by import, and is the same module then', () => {
    const { stdout, status } = node(
      app(),
      `import('heedful').then((imported) => console.log(imported.Tensor === require('heedful').Tensor))`,
    )
    expect({ stdout, status }).toEqual({ stdout: 'true\n', status: 0 })
  })

  it('has a command', () => {
    const { stdout, status } = run(
      process.execPath,
      [join(installed, 'dist', 'cli', 'main.js'), 'info', '--json'],
      app(),
    )
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ platform: process.platform, arch: process.arch })
  })

  it('keeps everything else to itself', () => {
    const { stderr, status } = node(app(), `require('heedful/dist/errors.js')`)
    expect(status).toBe(1)
    expect(stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED')
  })

  it.each([
    ['HEEDFUL_ISA', 'avx9000', /HEEDFUL_ISA.*avx9000.*scalar/s],
    ['HEEDFUL_ISA', 'AVX2', /HEEDFUL_ISA.*AVX2.*scalar/s],
    ['HEEDFUL_THREADS', '0', /HEEDFUL_THREADS.*1 to 1024/s],
    ['HEEDFUL_THREADS', '-1', /HEEDFUL_THREADS.*1 to 1024/s],
    ['HEEDFUL_THREADS', '2.5', /HEEDFUL_THREADS.*1 to 1024/s],
    ['HEEDFUL_THREADS', 'all', /HEEDFUL_THREADS.*1 to 1024/s],
    ['HEEDFUL_THREADS', '99999999999999999999', /HEEDFUL_THREADS.*1 to 1024/s],
  ])('refuses %s=%s, and says what is valid', (name, value, message) => {
    const code = `try { require('heedful') } catch (error) { console.log(error.name, error.code, error.message) }`
    const { stdout, status } = node(app(), code, { [name]: value })
    expect(status).toBe(0)
    expect(stdout).toMatch(/^NativeLoadError HEEDFUL_NATIVE_LOAD heedful: /)
    expect(stdout).toMatch(message)
  })

  it.each([
    ...runtime.availableIsas().map((isa) => ({ name: 'HEEDFUL_ISA', value: isa, code: 'runtime.isa()' })),
    { name: 'HEEDFUL_THREADS', value: '3', code: 'runtime.threads()' },
  ])('takes $name=$value', ({ name, value, code }) => {
    const { stdout } = node(app(), `const { runtime } = require('heedful'); console.log(${code})`, { [name]: value })
    expect(stdout).toBe(`${value}\n`)
  })
})

describe('a package whose addon does not load', () => {
  const cause = (project: string): string => {
    const code = `try { require('heedful') } catch (error) { console.log(error.name + '\\n' + error.message) }`
    const { stdout, stderr, status } = node(project, code)
    expect({ stderr: stderr.replace(/.*ExperimentalWarning.*\n.*\n/, ''), status }).toEqual({ stderr: '', status: 0 })
    return stdout
  }

  it('says where it looked, and how to build it, when there is none', () => {
    const message = cause(copyOf('none', () => {}))
    expect(message).toMatch(/^NativeLoadError\nheedful: there is no native addon for /)
    for (const part of [
      process.platform,
      process.arch,
      process.version,
      'build/Release',
      'prebuilds/',
      'npm rebuild heedful',
      'CMake',
      'C++20',
    ])
      expect(message).toContain(part)
  })

  it.each([
    ['is no library', 'this is no library'],
    ['is empty', ''],
    ['is cut short', '\x7fELF\x02\x01\x01'],
  ])('says so when its file %s', (name, content) => {
    const project = copyOf(name, (folder) => {
      mkdirSync(join(folder, 'build', 'Release'), { recursive: true })
      writeFileSync(join(folder, 'build', 'Release', 'heedful.node'), content, 'latin1')
    })
    const message = cause(project)
    expect(message).toMatch(/^NativeLoadError\nheedful: .*heedful\.node does not load on /)
    expect(message).toContain('npm rebuild heedful --build-from-source')
  })

  it('says so when it was built for another system', () => {
    const other = process.platform === 'win32' ? 'linux' : 'win32'
    const project = copyOf('another', (folder) => {
      mkdirSync(join(folder, 'prebuilds', `${other}-${process.arch}`), { recursive: true })
      writeFileSync(join(folder, 'prebuilds', `${other}-${process.arch}`, 'heedful.node'), '')
    })
    expect(cause(project)).toContain('there is no native addon for')
  })
})

describe('the install script', () => {
  const install = (project: string, env: Record<string, string>): Run =>
    run(process.execPath, ['native/scripts/install.mjs'], join(project, 'node_modules', 'heedful'), env)

  it.skipIf(process.platform === 'win32')('tells what is missing when there is neither CMake nor a compiler', () => {
    const project = copyOf('bare', () => {})
    const { status, stderr } = install(project, { PATH: scratch, CXX: '' })
    expect(status).not.toBe(0)
    for (const part of [
      'could not be built',
      'no `cmake` in PATH',
      'no C++ compiler in PATH',
      'CMake >= 3.18',
      'npm rebuild heedful',
    ])
      expect(stderr).toContain(part)
  })

  it.skipIf(process.platform === 'win32')('names the compiler that CXX asks for', () => {
    const project = copyOf('compiler', () => {})
    const { status, stderr } = install(project, { PATH: scratch, CXX: 'no-such-compiler' })
    expect(status).not.toBe(0)
    expect(stderr).toContain("There is no C++ compiler 'no-such-compiler' (CXX) in PATH.")
  })
})
