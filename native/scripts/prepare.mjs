// npm's prepare step in a clone: builds dist/. An install without development dependencies has no TypeScript, and
// leaves dist/ as it is.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { exit } from 'node:process'

let hasTypeScript = true
try {
  createRequire(import.meta.url).resolve('typescript/package.json')
} catch {
  hasTypeScript = false
  console.warn('heedful: TypeScript is not installed, dist/ is not built')
}
if (hasTypeScript) exit(spawnSync('npm run build:ts', { stdio: 'inherit', shell: true }).status ?? 1)
