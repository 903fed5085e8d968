import { nearest } from '../errors.ts'
import { caseOf, type Case, type Family } from './case.ts'
import { benchedOps, families } from './cases/index.ts'

export interface Selection {
  /** Empty: all. */
  readonly ops: readonly string[]
  /** Sizes such as 128x3072x768 in place of those of real models: of every variant of the operations. */
  readonly shapes?: readonly string[] | undefined
  readonly quick?: boolean | undefined
}

/** The cases that somebody asked for; `wrong` is told what can't be had, and what is there instead. */
export function selectCases({ ops, shapes, quick }: Selection, wrong: (message: string) => never): Case[] {
  for (const op of ops) if (!benchedOps.includes(op)) wrong(unknown('operation', op, benchedOps))
  const chosen = families.filter(({ op }) => ops.length === 0 || ops.includes(op))
  if (!shapes) {
    const all = chosen.flatMap((family) => family.examples.map((example) => caseOf(family, example)))
    const short = all.filter((given) => given.quick)
    return quick && short.length ? short : all
  }
  if (ops.length === 0) wrong(`--shapes needs an operation, e.g. matmul --shapes 128x3072x768`)
  return chosen.flatMap((family) =>
    shapes.map((shape) => caseOf(family, { name: family.op, sizes: sizesOf(shape, family, wrong), quick: true })),
  )
}

function sizesOf(shape: string, { op, dimensions, examples }: Family, wrong: (message: string) => never): number[] {
  const sizes = /^\d+(x\d+)*$/.test(shape) ? shape.split('x').map(Number) : []
  if (sizes.length !== dimensions.length || sizes.some((size) => size < 1 || size > 2 ** 31))
    wrong(`unknown shape '${shape}' of ${op}: expected ${dimensions.join('x')}, e.g. ${examples[0]!.sizes.join('x')}`)
  return sizes
}

/** `unknown dtype 'f31'; did you mean f32?` */
export function unknown(kind: string, word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  const there = known.length > 1 ? `there are ${known.join(', ')}` : `there is ${known.join('')}`
  return `unknown ${kind} '${word}'; ${near ? `did you mean ${near}?` : there}`
}
