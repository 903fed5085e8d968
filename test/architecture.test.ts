import { readdirSync, readFileSync } from 'node:fs'
import { basename, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import '../lib/index.ts'
import '../lib/train/index.ts'
import { native } from '../lib/native/load.ts'
import { registry } from '../lib/ops/define-op.ts'

// ---- the rules, as data ---------------------------------------------------------------------------------------------

/** What each folder or file of lib/ may import, beside itself and errors.ts. Only these know that the addon exists. */
const tensorLevel = ['tensor', 'files']
const graphLevel = [...tensorLevel, 'graph']
const opsLevel = [...graphLevel, 'ops']
const nnLevel = [...opsLevel, 'nn']
const modelLevel = [...nnLevel, 'checkpoint', 'text', 'models']
const runLevel = [...modelLevel, 'data']
const pipelineLevel = [...runLevel, 'train', 'generate']
const applicationLevel = [...pipelineLevel, 'pipelines', 'inspect', 'bench', 'runtime.ts']
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  native: [],
  files: [],
  'runtime.ts': ['native'],
  tensor: ['native'],
  checkpoint: tensorLevel,
  text: tensorLevel,
  data: tensorLevel,
  graph: [...tensorLevel, 'native'],
  ops: [...graphLevel, 'native'],
  nn: opsLevel,
  bench: [...opsLevel, 'native'],
  models: [...nnLevel, 'checkpoint', 'text'],
  generate: runLevel,
  train: runLevel,
  pipelines: pipelineLevel,
  inspect: pipelineLevel,
  'index.ts': applicationLevel,
  cli: [...applicationLevel, 'index.ts'],
  server: [...applicationLevel, 'index.ts'],
}

/** Where files may import each other in a circle: gradients of operations are operations. */
const mayBeCyclic = /^lib\/ops\//

/** What each part of native/ may include, beside itself: the first pattern that fits counts. */
const contract = /^kernels\/(kernel_table|random|bf16)\.h$/
const mayInclude: readonly (readonly [part: RegExp, included: readonly RegExp[]])[] = [
  [/^addon\.cc$/, [/^binding\//, /^runtime\//]],
  [/^binding\//, [/^program\//, /^runtime\//]],
  [/^program\//, [/^ops\/(instruction|op_list)\.h$/, /^runtime\//]],
  [/^ops\//, [contract, /^kernels\/reference\//, /^runtime\//]],
  [/^kernels\/isa\//, [contract, /^kernels\/simd\//]],
  [/^kernels\/reference\//, [contract]],
  [/^kernels\/simd\//, []],
  [contract, []],
  // The table of the instruction set in use is what dispatch gives out.
  [/^runtime\//, [/^kernels\/kernel_table\.h$/]],
]

/** Headers that only some files may see. */
const fenced: readonly (readonly [header: RegExp, seenBy: RegExp])[] = [
  [/^(napi|node_api|js_native_api)\.h$/, /^native\/(addon\.cc|binding\/)/],
  [/^(\w*mmintrin|immintrin|x86intrin|arm_\w+)\.h$/, /^native\/kernels\/simd\/vec_\w+\.h$/],
]

const longestFile = 600
const longestWithoutReason = 400
/** Why a file has more than 400 lines. */
const reasons: Readonly<Record<string, string>> = {
  'test/checkpoint/safetensors.test.ts': 'one list of everything that can be wrong with one file format',
  'native/kernels/kernel_table.h': 'one page that says all that drivers may ask of kernels',
}

const fileNames: readonly (readonly [where: RegExp, name: RegExp])[] = [
  [/^(lib|test|bench|examples)\/.*\.ts$/, /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.test-d)?\.ts$/],
  [/^native\/.*\.(cc|h)$/, /^[a-z0-9]+(_[a-z0-9]+)*(-inl)?\.(cc|h)$/],
  [/^native\/scripts\//, /^[a-z0-9]+(-[a-z0-9]+)*\.mjs$/],
]
const vagueName = /(^|[/_-])(utils?|helpers?|misc|common|stuff)([./_-]|$)/

// ---- what the rules look at -----------------------------------------------------------------------------------------

/** Text by path from the root of the project. */
type Sources = ReadonlyMap<string, string>

const root = fileURLToPath(new URL('..', import.meta.url))
const source = /\.(ts|mjs|cc|h)$/

function readSources(): Sources {
  const paths = ['lib', 'native', 'test', 'bench', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && source.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
  )
  return new Map(
    ['CMakeLists.txt', 'package.json', ...paths].map((path) => [path, readFileSync(join(root, path), 'utf8')]),
  )
}

const inLib = (sources: Sources): [string, string][] => [...sources].filter(([path]) => path.startsWith('lib/'))
const inNative = (sources: Sources): [string, string][] =>
  [...sources].filter(([path]) => /^native\/.*\.(cc|h)$/.test(path))

/** The files that a TypeScript file imports, re-exports or will import. */
const importsOf = (path: string, text: string): string[] =>
  [...text.matchAll(/\b(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)].map(([, to]) =>
    posix.join(posix.dirname(path), to!),
  )
const includesOf = (text: string): string[] =>
  [...text.matchAll(/^\s*#\s*include\s+[<"]([^>"]+)[>"]/gm)].map(([, header]) => header!)
const partOf = (path: string): string => path.split('/')[1]!
const countLines = (text: string): number => text.split('\n').length - 1
const withoutComments = (text: string): string => text.replace(/\/\/.*|\/\*[^]*?\*\//g, '')

/** Everything that can be reached from `start` along `next`. */
function reach(start: readonly string[], next: (path: string) => readonly string[]): Set<string> {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    next(path).forEach(visit)
  }
  start.forEach(visit)
  return seen
}

/** What package.json lets people reach: the sources of its exports and commands, and the scripts of the repository. */
function entryPoints(sources: Sources): string[] {
  const text = sources.get('package.json')!
  const built = [...text.matchAll(/"(?:\.\/)?dist\/([^"]+)\.js"/g)].map(([, path]) => `lib/${path}.ts`)
  const run = [...text.matchAll(/\btsx ([^" ]+\.ts)/g)].map(([, path]) => path!)
  return [...built, ...run]
}

// ---- the rules, as functions: what is wrong with the sources, and sources with which something is --------------------

interface Rule {
  name: string
  violations(sources: Sources): string[]
  counterexamples: readonly Readonly<Record<string, string>>[]
}

const rules: readonly Rule[] = [
  {
    name: 'imports go down',
    violations: (sources) =>
      inLib(sources).flatMap(([path, text]) => {
        const from = partOf(path)
        const allowed = mayImport[from]
        if (!allowed) return [`${path}: ${from} has no place in the list of layers`]
        return importsOf(path, text)
          .filter((to) => ![...allowed, from, 'errors.ts'].includes(partOf(to)))
          .map((to) => `${path} imports ${to}`)
      }),
    counterexamples: [
      { 'lib/graph/plan.ts': "import { add } from '../ops/index.ts'" },
      { 'lib/nn/linear.ts': "import type { Native } from '../native/native.ts'" },
      { 'lib/checkpoint/a.ts': "const { x } = await import('../models/gpt.ts')" },
      { 'lib/train/a.ts': "import {\n  generate,\n} from '../generate/generate.ts'" },
      { 'lib/errors.ts': "export * from './tensor/shape.ts'" },
      { 'lib/new-folder/a.ts': '' },
    ],
  },
  {
    name: 'nothing imports in a circle but operations',
    violations: (sources) => {
      const next = (path: string): string[] => importsOf(path, sources.get(path) ?? '')
      return inLib(sources)
        .map(([path]) => path)
        .filter((path) => !mayBeCyclic.test(path) && reach(next(path), next).has(path))
    },
    counterexamples: [
      {
        'lib/nn/a.ts': "import './b.ts'",
        'lib/nn/b.ts': "import '../nn/c.ts'",
        'lib/nn/c.ts': "export { a } from './a.ts'",
      },
    ],
  },
  {
    name: 'includes go down',
    violations: (sources) =>
      inNative(sources).flatMap(([path, text]) => {
        const from = path.slice('native/'.length)
        const layer = mayInclude.find(([part]) => part.test(from))
        if (!layer) return [`${path} has no place in the list of layers`]
        return includesOf(text)
          .filter((to) => to.includes('/') && !to.startsWith('sys/'))
          .filter((to) => ![...layer[1], layer[0]].some((pattern) => pattern.test(to)))
          .map((to) => `${path} includes ${to}`)
      }),
    counterexamples: [
      { 'native/ops/gemm.cc': '#include "program/program.h"' },
      { 'native/ops/gemm.cc': '#include "kernels/simd/gemm-inl.h"' },
      { 'native/kernels/simd/gemm-inl.h': '#include "kernels/kernel_table.h"' },
      { 'native/runtime/buffer.cc': '#include "ops/instruction.h"' },
      { 'native/program/decode.cc': '#include "ops/gemm.h"' },
      { 'native/new/a.h': '' },
    ],
  },
  {
    name: 'Node-API and intrinsics stay behind their fences',
    violations: (sources) =>
      inNative(sources).flatMap(([path, text]) =>
        includesOf(text)
          .filter((header) => fenced.some(([pattern, seenBy]) => pattern.test(header) && !seenBy.test(path)))
          .map((header) => `${path} includes <${header}>`),
      ),
    counterexamples: [
      { 'native/program/program.cc': '#include <napi.h>' },
      { 'native/kernels/simd/gemm-inl.h': '# include <immintrin.h>' },
      { 'native/kernels/isa/neon.cc': '#include <arm_neon.h>' },
    ],
  },
  {
    name: 'kernels are in the namespace of their instruction set and use nothing that the linker could share',
    violations: (sources) =>
      inNative(sources)
        .filter(([path]) => /-inl\.h$|\/simd\//.test(path))
        .filter(([, text]) =>
          /\bstd::|#\s*include\s*<c?(algorithm|cmath|math\.h|vector|limits)>/.test(withoutComments(text)),
        )
        .map(([path]) => `${path} uses the standard library`),
    counterexamples: [
      { 'native/kernels/simd/a-inl.h': 'x = std::max(a, b);' },
      { 'native/kernels/simd/vec_avx2.h': '#include <cmath>' },
    ],
  },
  {
    name: 'only instruction sets are compiled with flags of the CPU',
    violations: (sources) => {
      const text = sources.get('CMakeLists.txt')!.replace(/#.*/g, '')
      const rest = text.replace(/^\s*heedful_isa\([^)]*\)/gm, '')
      return [
        ...[...rest.matchAll(/[-/](m(avx|sse|fma|f16c|arch|tune|cpu|prefer)|arch:)[^\s")]*/g)].map(([flag]) => flag),
        ...[...text.matchAll(/-ffast-math|-Ofast|-march=native|-mcpu=native/g)].map(([flag]) => flag),
      ]
    },
    counterexamples: [
      { 'CMakeLists.txt': 'add_compile_options(-O3 -mavx2)' },
      { 'CMakeLists.txt': 'heedful_isa(avx2 GNU -mavx2)\ntarget_compile_options(core PRIVATE /arch:AVX2)' },
      { 'CMakeLists.txt': 'heedful_isa(native GNU -march=native)' },
      { 'CMakeLists.txt': 'heedful_isa(avx2 GNU -mavx2 -ffast-math)' },
    ],
  },
  {
    name: `no file has more than ${longestFile} lines, or than ${longestWithoutReason} without a reason`,
    violations: (sources) => [
      ...[...sources]
        .filter(([path]) => source.test(path))
        .filter(([path, text]) => countLines(text) > (reasons[path] ? longestFile : longestWithoutReason))
        .map(([path, text]) => `${path} has ${countLines(text)} lines`),
      ...Object.keys(reasons)
        .filter((path) => countLines(sources.get(path) ?? '') <= longestWithoutReason)
        .map((path) => `${path} needs no reason any more`),
    ],
    counterexamples: [
      { 'lib/ops/a.ts': '\n'.repeat(401) },
      { [Object.keys(reasons)[0]!]: '\n'.repeat(601) },
      { [Object.keys(reasons)[0]!]: '\n'.repeat(399) },
    ],
  },
  {
    name: 'files are named in kebab-case (TypeScript) or snake_case (C++) after one concept',
    violations: (sources) =>
      [...sources.keys()].filter(
        (path) =>
          vagueName.test(path) || fileNames.some(([where, name]) => where.test(path) && !name.test(basename(path))),
      ),
    counterexamples: [
      { 'lib/nn/multiHead.ts': '' },
      { 'native/ops/gemm-pack.cc': '' },
      { 'native/ops/Gemm.cc': '' },
      { 'lib/utils/math.ts': '' },
      { 'lib/text/text-helpers.ts': '' },
    ],
  },
  {
    name: 'there are no default exports',
    violations: (sources) =>
      [...sources]
        .filter(([path, text]) => /\.(ts|mjs)$/.test(path) && /^export (default\b|\{[^}]*\bas default\b)/m.test(text))
        .map(([path]) => path),
    counterexamples: [
      { 'lib/a.ts': 'export default class A {}' },
      { 'lib/a.ts': 'const a = 1\nexport { a as default }' },
    ],
  },
  {
    name: 'nothing waits when it is loaded, so that require() can load it',
    violations: (sources) =>
      inLib(sources)
        .filter(([, text]) => /^(?:(?:export )?(?:const|let) [^=]*= *)?(?:await\b|for await\b)/m.test(text))
        .map(([path]) => `${path} has a top-level await`),
    counterexamples: [
      { 'lib/a.ts': "await import('./b.ts')" },
      { 'lib/a.ts': 'export const a = await b()' },
      { 'lib/a.ts': 'const { a } = await b()' },
      { 'lib/a.ts': 'for await (const x of y) z(x)' },
    ],
  },
  {
    name: 'every module can be reached from what is public',
    violations: (sources) => {
      const reached = reach(entryPoints(sources), (path) => importsOf(path, sources.get(path) ?? ''))
      return inLib(sources).flatMap(([path]) => (reached.has(path) ? [] : [`${path} is used by nothing`]))
    },
    counterexamples: [
      { 'package.json': '{ "default": "./dist/index.js" }', 'lib/index.ts': '', 'lib/nn/forgotten.ts': '' },
    ],
  },
  {
    name: 'every C++ source is compiled, every header included',
    violations: (sources) => {
      const cmake = sources.get('CMakeLists.txt') ?? ''
      const included = new Set(inNative(sources).flatMap(([, text]) => includesOf(text)))
      return inNative(sources)
        .map(([path]) => path)
        .filter((path) => {
          const isa = /kernels\/isa\/(\w+)\.cc$/.exec(path)?.[1]
          if (isa) return !cmake.includes(`heedful_isa(${isa}`)
          return path.endsWith('.cc') ? !cmake.includes(path) : !included.has(path.slice('native/'.length))
        })
    },
    counterexamples: [
      { 'CMakeLists.txt': '', 'native/ops/forgotten.cc': '' },
      { 'CMakeLists.txt': '', 'native/ops/forgotten.h': '' },
      { 'CMakeLists.txt': 'heedful_isa(avx2)', 'native/kernels/isa/sve.cc': '' },
    ],
  },
]

describe('architecture', () => {
  const sources = readSources()
  for (const { name, violations, counterexamples } of rules)
    describe(name, () => {
      it('holds', () => expect(violations(sources)).toEqual([]))
      it.each(counterexamples)('notices %j', (counterexample) => {
        const base = new Map([
          ['CMakeLists.txt', ''],
          ['package.json', '{}'],
        ])
        expect(violations(new Map([...base, ...Object.entries(counterexample)]))).not.toEqual([])
      })
    })

  it('layers stand in an order', () => {
    for (const part of Object.keys(mayImport))
      expect(reach(mayImport[part]!, (other) => mayImport[other]!).has(part), part).toBe(false)
  })
})

// ---- the two lists of operations ------------------------------------------------------------------------------------

/** Instructions that the lowering of a graph emits by itself. */
const emittedByLowering = ['fill', 'copy']

describe('operations', () => {
  const lowerings = [...registry.values()].flatMap(({ name, operands, outputs, lowering }) =>
    lowering.kind === 'instruction' ? [{ name, operands, outputs, lowering }] : [],
  )
  const instructions = new Map(native.operations.map((operation) => [operation.name, operation]))

  it('name every instruction of the addon, and no other', () => {
    const named = new Set([...lowerings.map(({ lowering }) => lowering.instruction), ...emittedByLowering])
    expect([...named].sort()).toEqual([...instructions.keys()].sort())
  })

  it('have the operands and attributes that their instruction takes', () => {
    for (const { name, operands, outputs, lowering } of lowerings) {
      const instruction = instructions.get(lowering.instruction)!
      const updated = outputs.filter(({ updates }) => updates !== undefined).length
      expect(lowering.attributes({}), name).toHaveLength(instruction.attributes)
      if (instruction.inputs >= 0) expect(operands.length - updated, name).toBe(instruction.inputs)
      expect(outputs.length, name).toBe(instruction.outputs)
    }
  })

  it.each(['unary', 'binary', 'reduce'] as const)('use every %s function of the addon', (instruction) => {
    const names = native[`${instruction}Functions`]
    const used = lowerings
      .filter(({ lowering }) => lowering.instruction === instruction)
      .map(({ lowering }) => names[lowering.attributes({})[0]!])
    // What matmul does when nothing follows it.
    expect(new Set([...used, ...names.filter((name) => name === 'identity')])).toEqual(new Set(names))
  })
})
