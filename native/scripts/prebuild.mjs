// What prebuildify calls as its "node-gyp": `rebuild --target=V --devdir=D --arch=A --release`. cmake-js itself would
// take --target for a target of CMake.
import { argv, exit } from 'node:process'
import { compile } from './compile.mjs'

const arch = argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length)
exit(compile('rebuild', ...(arch ? ['--arch', arch] : []), ...(argv.includes('--debug') ? ['--debug'] : [])))
