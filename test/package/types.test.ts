import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const compile = (cwd: string, ...args: string[]): string => {
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], { cwd, encoding: 'utf8' })
  return stdout + stderr
}

/** What public-types.ts says, as a project sees it that has installed the package. */
const usage = readFileSync(new URL('public-types.ts', import.meta.url), 'utf8')
  .replace("'../../lib/index.ts'", "'heedful'")
  .replace("'../../lib/train/index.ts'", "'heedful/train'")
  .replace("'../../lib/bench/index.ts'", "'heedful/bench'")

describe('the published declarations', () => {
  let project: string
  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), 'heedful-types-'))
    const installed = join(project, 'node_modules', 'heedful')
    mkdirSync(installed, { recursive: true })
    const options = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', join(installed, 'dist')]
    expect(compile(root, ...options)).toBe('')
    writeFileSync(join(installed, 'package.json'), readFileSync(join(root, 'package.json')))
    symlinkSync(join(root, 'node_modules', '@types'), join(project, 'node_modules', '@types'), 'junction')
  }, 60_000)
  afterAll(() => rmSync(project, { recursive: true, force: true }), 60_000)

  const options = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2022', '--types', 'node']
  const lib = ['--lib', 'es2023,esnext.disposable']

  it.each([
    ['an ES module', 'a.mts', ['--module', 'nodenext']],
    ['a CommonJS module', 'a.cts', ['--module', 'nodenext']],
    ['a bundled module', 'a.ts', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ])('keep their promises in %s', (_, name, resolution) => {
    writeFileSync(join(project, name), usage)
    expect(compile(project, name, ...options, ...lib, ...resolution)).toBe('')
  })

  it('are what is compared against: an error is seen', () => {
    writeFileSync(join(project, 'wrong.mts'), "import { tensor } from 'heedful'\ntensor.zeros('x')\n")
    expect(compile(project, 'wrong.mts', ...options, ...lib, '--module', 'nodenext')).toContain('wrong.mts')
  })
})
