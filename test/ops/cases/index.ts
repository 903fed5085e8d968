import type { Case } from '../case.ts'
import { attention } from './attention.ts'
import { cache } from './cache.ts'
import { crossEntropy } from './cross-entropy.ts'
import { elementwise } from './elementwise.ts'
import { embedding } from './embedding.ts'
import { linearCrossEntropy } from './linear-cross-entropy.ts'
import { matmul } from './matmul.ts'
import { mixtureOfExperts } from './mixture-of-experts.ts'
import { norm } from './norm.ts'
import { optimizer } from './optimizer.ts'
import { position } from './position.ts'
import { quantize } from './quantize.ts'
import { reduce } from './reduce.ts'
import { sample } from './sample.ts'
import { softmax } from './softmax.ts'
import { turnedAttention } from './turned-attention.ts'
import { view } from './view.ts'

/** THE cases, by family. */
export const families: Readonly<Record<string, readonly Case[]>> = {
  attention,
  cache,
  crossEntropy,
  elementwise,
  embedding,
  linearCrossEntropy,
  matmul,
  mixtureOfExperts,
  norm,
  optimizer,
  position,
  quantize,
  reduce,
  sample,
  softmax,
  turnedAttention,
  view,
}
