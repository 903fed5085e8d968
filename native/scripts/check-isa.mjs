// Proves the fence around the instruction sets by the object files of a build:
//   - scalar and core objects hold no AVX instruction, those of avx2 and avx_vnni none of AVX-512; instructions that only
//     some CPUs have beyond that (bfloat16, VNNI, dot products, products of matrices) are in the units named for them;
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
// What only some CPUs of an architecture have beyond its levels, and the units that may hold it. With VEX coding
// vpdpbusd is AVX-VNNI.
const restricted = [
  { what: 'VNNI', pattern: /^(\{vex\} )?vpdpbusd/, units: /_vnni$/ },
  { what: 'AVX-512 BF16', pattern: /^v\w+bf16/, units: /^avx512_bf16$/ },
  { what: 'dot product', pattern: /^[su]dot\b/, units: /^neon_dotprod$/ },
  { what: 'I8MM', pattern: /^(usdot|sudot|us?mmla|smmla)\b/, units: /^neon_i8mm$/ },
  { what: 'BF16', pattern: /^bf(dot|mmla|mlal[bt]|cvtn?2?)\b/, units: /^neon_bf16$/ },
]
const isPrefetch = (text) => /^(prefetch|prfm)/.test(text)
const isMultiplyAdd = (text) =>
  /^(vfmadd|vdpbf16|(\{vex\} )?vpdpbusd|vpmaddwd|fmla|sadalp|u?sdot|usmmla|bfdot|bfmmla)/.test(text)
// A vector to or from the frame. Clang keeps ordinary pointers in %rbp; frames lie below it.
const isSpill = (text) =>
  (/%[xyz]mm/.test(text) && /\(%rsp[,)]|-0x[0-9a-f]+\(%rbp\)/.test(text)) || /^(ld|st)[rp]\s+q.*\[(sp|x29)\b/.test(text)

// The instructions that can follow each other again and again and multiply: the loops over k. They are the strongly
// connected components of what follows what (Tarjan 1972): parts of a function that only lie between a branch and its
// target, where a compiler put them, are none.
function loops({ instructions }) {
  const indexOf = new Map(instructions.map(({ address }, index) => [address, index]))
  const followers = instructions.map(({ text }, index) => {
    const branch = /^(j\w+|b|b\.\w+|cbn?z|tbn?z)\s+(?:\w+, )?(?:#\w+, )?([0-9a-f]+)\b/.exec(text)
    const target = branch ? indexOf.get(parseInt(branch[2], 16)) : undefined
    const ends = /^(ret|br|b|jmp|ud2|hlt)\b(?!\.)/.test(text)
    return [target, ends ? undefined : index + 1].filter((next) => next < instructions.length)
  })
  const order = [],
    low = [],
    open = [],
    isOpen = [],
    found = []
  let count = 0
  for (let root = 0; root < instructions.length; ++root) {
    const path = order[root] === undefined ? [{ node: root, next: 0 }] : []
    while (path.length) {
      const step = path.at(-1)
      const { node } = step
      if (step.next === 0) {
        order[node] = low[node] = count++
        open.push(node)
        isOpen[node] = true
      }
      const follower = followers[node][step.next++]
      if (follower === undefined) {
        path.pop()
        if (path.length) low[path.at(-1).node] = Math.min(low[path.at(-1).node], low[node])
        if (low[node] === order[node]) {
          const component = open.splice(open.indexOf(node))
          for (const member of component) isOpen[member] = false
          if (component.length > 1) found.push(component.sort((a, b) => a - b).map((i) => instructions[i].text))
        }
      } else if (order[follower] === undefined) path.push({ node: follower, next: 0 })
      else if (isOpen[follower]) low[node] = Math.min(low[node], order[follower])
    }
  }
  return found.filter((body) => body.some(isMultiplyAdd))
}

// How many micro-kernels there are, and what is wrong with them.
function checkMicroKernels(functions) {
  const kernels = functions.filter(({ name }) => /MicroKernel</.test(name))
  const problems = kernels.length ? [] : [`no ${microKernel} found`]
  for (const kernel of kernels) {
    const name = /\w*MicroKernel<[^>]*>/.exec(kernel.name)[0]
    const bodies = loops(kernel)
    if (!bodies.length) problems.push(`${name}: no loop of fused multiply-adds`)
    else if (!bodies.flat().some(isPrefetch)) problems.push(`${name}: no prefetch in its loop`)
    const spills = bodies.flat().filter(isSpill)
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
  if ((isa === 'avx2' || isa === 'avx_vnni') && avx512) problems.push(`${avx512} AVX-512 instructions`)
  for (const { what, pattern, units } of restricted)
    if (!units.test(isa) && instructions.some((text) => pattern.test(text))) problems.push(`${what} instructions`)
  if (isa !== 'core') problems.push(...checkSymbols(object, isa))
  if (!instrumented && isa !== 'core' && isa !== 'scalar') {
    const result = checkMicroKernels(functions)
    kernels = result.count
    problems.push(...result.problems)
  }
  const counts = `avx ${avx}, avx512 ${avx512}${kernels ? `, ${kernels} micro-kernels without spills` : ''}`
  const verdict = problems.length ? `BAD: ${problems.join('\n    ')}` : `ok (${counts})`
  console.log(`${isa.padEnd(12)} ${relative(build, object)}: ${verdict}`)
  return problems.length === 0
}

const objects = existsSync(build) ? objectFiles(build) : []
if (!objects.length) {
  console.error(`check-isa: no object files under ${build}; build first, or name the build directory`)
  process.exit(1)
}
if (!objects.map(check).every(Boolean)) process.exit(1)
