// npm's install step: a prebuilt addon if one loads here, else compile.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { env, execPath, exit } from 'node:process'
import { fileURLToPath } from 'node:url'
import { compile } from './compile.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const require = createRequire(import.meta.url)

function prebuildLoads() {
  if (env.npm_config_build_from_source) return false
  // In a child: a binary for another libc or CPU may crash instead of throwing. PREBUILDS_ONLY: an old build/ must not
  // count. The settings of heedful itself are no matter of the install.
  const { HEEDFUL_ISA, HEEDFUL_THREADS, ...rest } = env
  const script = `require(${JSON.stringify(require.resolve('node-gyp-build'))})(${JSON.stringify(root)})`
  const child = spawnSync(execPath, ['-e', script], { env: { ...rest, PREBUILDS_ONLY: '1' }, stdio: 'ignore' })
  return child.status === 0
}

if (!prebuildLoads()) exit(compile())
