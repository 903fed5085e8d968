import { caseOf, type Case, type Family } from '../case.ts'
import { attentionFamilies } from './attention.ts'
import { elementwiseFamilies } from './elementwise.ts'
import { expertFamilies } from './experts.ts'
import { matmulFamilies } from './matmul.ts'
import { memoryFamilies } from './memory.ts'
import { rowFamilies } from './rows.ts'
import { sampleFamilies } from './sample.ts'

/** THE list of what has speed. */
export const families: readonly Family[] = [
  ...matmulFamilies,
  ...attentionFamilies,
  ...expertFamilies,
  ...rowFamilies,
  ...sampleFamilies,
  ...elementwiseFamilies,
  ...memoryFamilies,
]

/** What `heedful bench` can be asked for, in the order of the table. */
export const benchedOps: readonly string[] = [...new Set(families.map(({ op }) => op))]

/** At the sizes of real models. */
export const cases: readonly Case[] = families.flatMap((family) =>
  family.examples.map((example) => caseOf(family, example)),
)

const view = 'a view: costs nothing unless something has to be copied, which transpose shows'
const asAdd = 'the kernel of add with another instruction'
const rare = 'in no hot path of a transformer'

/** Operations without a case, and why. */
export const unbenched: Readonly<Record<string, string>> = {
  reshape: view,
  slice: view,
  split: view,
  broadcastTo: view,
  pad: 'a copy, as concat, and a fill',
  cacheWrite: 'moves the keys of a few tokens; a copy, as concat',
  quantizedCacheWrite: 'rounds the keys of a few tokens',
  cacheCopy: 'a copy, as concat',
  quantizedCacheCopy: 'a copy, as concat',
  embeddingRows: 'copies the gradients of a few tokens, as embedding does',
  cast: 'a copy, as concat',
  subtract: asAdd,
  divide: asAdd,
  maximum: asAdd,
  minimum: asAdd,
  greater: asAdd,
  greaterEqual: asAdd,
  equal: asAdd,
  quantize: 'once, when weights are loaded',
  dequantize: 'once, to look at weights',
  power: rare,
  negate: rare,
  absolute: rare,
  square: rare,
  squareRoot: rare,
  reciprocalSquareRoot: rare,
  reciprocal: rare,
  log: rare,
  sine: rare,
  cosine: rare,
  erf: rare,
  sign: rare,
}
