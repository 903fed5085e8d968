import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../native/scripts/check-isa.mjs', import.meta.url))
const has = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
const possible = process.platform === 'linux' && process.arch === 'x64' && ['c++', 'objdump', 'nm'].every(has)

const table = (isa: string): string =>
  `namespace heedful::${isa} { struct T { const void* f; }; extern const T kKernels; const T kKernels = {nullptr}; }\n`
/** A micro-kernel whose loop is this assembly, with more behind it. */
const kernel = (loop: string, behind = 'nop'): string =>
  `namespace { template <int M> void GemmMicroKernel() { __asm__ volatile("1: ${loop}\\n dec %%rax\\n jnz 1b\\n ${behind}" ::: "rax"); } }
   static void (*volatile keep)() = &GemmMicroKernel<4>;\n`
const multiplies = 'prefetcht0 (%%rsp)\\n vfmadd231ps %%ymm2, %%ymm0, %%ymm1'
const clean = kernel(multiplies)

/** What an object file of an instruction set may not hold, and how that is told. */
const cases: readonly { name: string; isa: string; code: string; told: string | undefined }[] = [
  { name: 'a table and a kernel', isa: 'avx2', code: clean, told: undefined },
  { name: 'code of its own in the core', isa: 'core', code: 'int f(int x) { return x + 1; }', told: undefined },
  {
    name: 'AVX in the core',
    isa: 'core',
    code: 'void f() { __asm__ volatile("vaddps %ymm0, %ymm0, %ymm0"); }',
    told: '1 AVX instructions',
  },
  {
    name: 'AVX-512 in avx2',
    isa: 'avx2',
    code: `${clean} static void g() { __asm__ volatile("vaddps %zmm0, %zmm0, %zmm0"); } void (*volatile h)() = &g;`,
    told: '1 AVX-512 instructions',
  },
  {
    name: 'VNNI in avx512',
    isa: 'avx512',
    code: `${clean} static void g() { __asm__ volatile("vpdpbusd %zmm0, %zmm0, %zmm0"); } void (*volatile h)() = &g;`,
    told: 'VNNI instructions',
  },
  {
    name: 'VNNI where it belongs',
    isa: 'avx512_vnni',
    code: `${clean} static void g() { __asm__ volatile("vpdpbusd %zmm0, %zmm0, %zmm0"); } static void (*volatile h)() = &g;`,
    told: undefined,
  },
  {
    name: 'an inline function that the linker may share',
    isa: 'avx2',
    code: `${clean} inline int Shared(int x) { return x; } static int (*volatile keep_shared)(int) = &Shared;`,
    told: 'weak symbols: Shared(int)',
  },
  {
    name: 'a function that others see',
    isa: 'avx2',
    code: `${clean} int Seen(int x) { return x; }`,
    told: 'exports more than its table: Seen(int)',
  },
  {
    name: 'a constructor of a global',
    isa: 'avx2',
    code: `${clean} int Get(); static int value = Get();  static int* volatile keep_value = &value;`,
    told: 'runs code at load',
  },
  {
    name: 'an accumulator that is spilled',
    isa: 'avx2',
    code: kernel(`${multiplies}\\n vmovaps %%ymm1, -32(%%rsp)`),
    told: 'GemmMicroKernel<4> spills: vmovaps %ymm1,-0x20(%rsp)',
  },
  {
    name: 'a spill that only lies between a branch and its target',
    isa: 'avx2',
    code: kernel(
      multiplies,
      `jmp 3f\\n 2: vmovaps %%ymm1, -32(%%rsp)\\n ${multiplies}\\n jmp 4f\\n 3: jmp 2b\\n 4: nop`,
    ),
    told: undefined,
  },
  {
    name: 'a micro-kernel without a loop of multiply-adds',
    isa: 'avx2',
    code: kernel('nop'),
    told: 'GemmMicroKernel<4>: no loop of fused multiply-adds',
  },
  {
    name: 'a micro-kernel that asks for nothing ahead',
    isa: 'avx2',
    code: kernel('vfmadd231ps %%ymm2, %%ymm0, %%ymm1'),
    told: 'GemmMicroKernel<4>: no prefetch in its loop',
  },
  { name: 'no micro-kernel', isa: 'avx512', code: '', told: 'no GemmMicroKernel found' },
]

describe.runIf(possible)('check-isa.mjs', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heedful-isa-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each(cases)('$name: $told', ({ isa, code, told }) => {
    const build = mkdtempSync(join(folder, 'build-'))
    const objects = join(build, isa === 'core' ? 'core.dir' : `kernels_${isa}.dir`)
    mkdirSync(objects, { recursive: true })
    const options = ['-std=c++20', '-O1', '-w', '-x', 'c++', '-', '-c', '-o', join(objects, 'a.cc.o')]
    execFileSync('c++', options, { input: (isa === 'core' ? '' : table(isa)) + code })
    const { status, stdout } = spawnSync(process.execPath, [script, build], { encoding: 'utf8' })
    expect(status).toBe(told === undefined ? 0 : 1)
    expect(stdout).toContain(told ?? 'ok')
  })

  it('refuses to say anything about a folder without objects', () => {
    const { status, stderr } = spawnSync(process.execPath, [script, join(folder, 'none')], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toContain('build first')
  })
})
