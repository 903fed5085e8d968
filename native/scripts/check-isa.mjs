// Proves the fence around the instruction sets by the object files of a build:
//   - scalar and core objects hold no AVX instruction, those of avx2 none of AVX-512, those of avx512 neither bfloat16 nor VNNI;
//   - an instruction set's object shares nothing: it defines no weak symbol, which the linker might hand to code for
//     an older CPU, exports its table only and runs no code when it is loaded;
//   - the loops of the GEMM micro-kernels, but for those of scalar, keep their accumulators in registers (not under
//     sanitizers), and ask for the memory that is wanted next.
//
//   node native/scripts/check-isa.mjs [build directory]     one line per object, exit 1 when one is bad
//
// A cross build is read with the binutils of its compiler's prefix.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const build = process.argv[2] ?? 'build'
const microKernel = 'GemmMicroKernel'
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 30 })

function objectFiles(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return entry.name.startsWith('CompilerId') ? [] : objectFiles(path)
    return entry.name.endsWith('.o') ? [path] : []
  })
}

function cached(name) {
  const cache = join(build, 'CMakeCache.txt')
  return existsSync(cache) ? new RegExp(`^${name}:\\w+=(.+)$`, 'm').exec(readFileSync(cache, 'utf8'))?.[1] : undefined
}
const prefix = /^(.*-)g\+\+/.exec(cached('CMAKE_CXX_COMPILER'))?.[1] ?? ''
// Sanitizers put variables on the stack. A debug build does not: kernels are always optimised.
const instrumented = cached('HEEDFUL_SANITIZE') !== undefined

// [{ name, instructions: [{ address, text }] }]
function disassemble(object) {
  const functions = []
  for (const line of run(`${prefix}objdump`, '-d', '-C', '--no-show-raw-insn', object).split('\n')) {
    const header = /^[0-9a-f]+ <(.*)>:$/.exec(line)
    const instruction = /^\s*([0-9a-f]+):\t(.*)$/.exec(line)
    if (header) functions.push({ name: header[1], instructions: [] })
    else if (instruction)
      functions.at(-1).instructions.push({ address: parseInt(instruction[1], 16), text: instruction[2] })
  }
  return functions
}

const isAvx = (text) => /%[yz]mm|^v[a-z]+\S*\s.*%xmm/.test(text)
const isAvx512 = (text) => /%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b/.test(text)
const isVnni = (text) => text.startsWith('vpdpbusd')
const isBf16 = (text) => /^v\w+bf16/.test(text)
const isPrefetch = (text) => /^(prefetch|prfm)/.test(text)
const isMultiplyAdd = (text) => /^(vfmadd|vdpbf16|vpdpbusd|vpmaddwd|fmla|sadalp)/.test(text)
// A vector to or from the frame. Clang keeps ordinary pointers in %rbp; frames lie below it.
const isSpill = (text) =>
  (/%[xyz]mm/.test(text) && /\(%rsp[,)]|-0x[0-9a-f]+\(%rbp\)/.test(text)) || /^(ld|st)[rp]\s+q.*\[(sp|x29)\b/.test(text)

// The instructions between a backward branch and its target that multiply: the loops over k. With a return among them
// the branch only leaves such a loop.
function innerLoops({ instructions }) {
  const at = new Map(instructions.map(({ address }, index) => [address, index]))
  return instructions.flatMap(({ text }, end) => {
    const begin = at.get(parseInt(/^(?:j\w+|b\.\w+|cbn?z)\s+(?:\w+, )?([0-9a-f]+)\b/.exec(text)?.[1] ?? '', 16))
    if (begin === undefined || begin > end) return []
    const body = instructions.slice(begin, end + 1).map((instruction) => instruction.text)
    return body.some(isMultiplyAdd) && !body.some((line) => line.startsWith('ret')) ? [body] : []
  })
}

// How many micro-kernels there are, and what is wrong with them.
function checkMicroKernels(functions) {
  const kernels = functions.filter(({ name }) => /MicroKernel</.test(name))
  const problems = kernels.length ? [] : [`no ${microKernel} found`]
  for (const kernel of kernels) {
    const name = /\w*MicroKernel<[^>]*>/.exec(kernel.name)[0]
    const loops = innerLoops(kernel)
    if (!loops.length) problems.push(`${name}: no loop of fused multiply-adds`)
    else if (!loops.flat().some(isPrefetch)) problems.push(`${name}: no prefetch in its loop`)
    const spills = loops.flat().filter(isSpill)
    if (spills.length) problems.push(`${name} spills: ${spills[0]} (${spills.length}×)`)
  }
  return { count: kernels.length, problems }
}

function checkSymbols(object, isa) {
  const problems = []
  const symbols = run(`${prefix}nm`, '-C', '--defined-only', object).split('\n').filter(Boolean)
  // Local symbols carry small letters, those that the linker sees capitals.
  const named = (pattern) => symbols.filter((line) => pattern.test(line)).map((line) => line.replace(/^\S*\s+\S\s/, ''))
  const weak = named(/ [WVu] /)
  const exported = named(/ [A-TX-Z] /).filter((name) => name !== `heedful::${isa}::kKernels`)
  const local = named(/ [tbdr] /).filter((name) => /^(_GLOBAL__|guard variable)/.test(name))
  if (weak.length) problems.push(`weak symbols: ${weak.join('; ')}`)
  if (exported.length) problems.push(`exports more than its table: ${exported.join('; ')}`)
  if (local.length || /\.(init_array|ctors)\b/.test(run(`${prefix}objdump`, '-h', object)))
    problems.push('runs code at load')
  return problems
}

function check(object) {
  const isa = /kernels_(\w+)\.dir/.exec(object)?.[1] ?? 'core'
  const functions = disassemble(object)
  const instructions = functions.flatMap(({ instructions }) => instructions.map(({ text }) => text))
  const avx = instructions.filter(isAvx).length
  const avx512 = instructions.filter(isAvx512).length
  const problems = []
  let kernels = 0
  if ((isa === 'core' || isa === 'scalar') && avx + avx512) problems.push(`${avx + avx512} AVX instructions`)
  if (isa === 'avx2' && avx512) problems.push(`${avx512} AVX-512 instructions`)
  if (isa !== 'avx512_vnni' && instructions.some(isVnni)) problems.push('AVX-512 VNNI instructions')
  if (isa !== 'avx512_bf16' && instructions.some(isBf16)) problems.push('AVX-512 BF16 instructions')
  if (isa !== 'core') problems.push(...checkSymbols(object, isa))
  if (!instrumented && isa !== 'core' && isa !== 'scalar') {
    const result = checkMicroKernels(functions)
    kernels = result.count
    problems.push(...result.problems)
  }
  const counts = `avx ${avx}, avx512 ${avx512}${kernels ? `, ${kernels} micro-kernels without spills` : ''}`
  const verdict = problems.length ? `BAD: ${problems.join('\n    ')}` : `ok (${counts})`
  console.log(`${isa.padEnd(7)} ${relative(build, object)}: ${verdict}`)
  return problems.length === 0
}

const objects = existsSync(build) ? objectFiles(build) : []
if (!objects.length) {
  console.error(`check-isa: no object files under ${build}; build first, or name the build directory`)
  process.exit(1)
}
if (!objects.map(check).every(Boolean)) process.exit(1)
