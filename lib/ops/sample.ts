import { checkOptions } from '../errors.ts'
import { apply } from '../graph/apply.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkRank, checkShapeOf, checkTensor, defineOp, noAttributes } from './define-op.ts'

const kinds = {
  seed: 'index',
  step: 'index',
  temperature: 'float',
  topK: 'index',
  topP: 'float',
  minP: 'float',
} as const
type Name = keyof typeof kinds
const names = Object.keys(kinds) as Name[]

const sampleOp = defineOp({
  name: 'sample',
  operands: [
    { name: 'logits', kind: 'float', layout: 'rows' },
    ...names.map((name) => ({
      name,
      kind: kinds[name],
      optional: name !== 'seed' && name !== 'step',
      layout: 'contiguous' as const,
    })),
  ],
  outputs: [{ name: 'token', layout: 'contiguous' }],
  infer: ([logits, ...given]) => {
    checkRank('sample', 'logits', logits!, 2)
    const rows = logits!.shape.slice(0, 1)
    names.forEach((name, i) => given[i] && checkShapeOf('sample', name, given[i], rows))
    return [{ shape: rows, dtype: 'i32' }]
  },
  lowering: { kind: 'instruction', instruction: 'sample', attributes: noAttributes },
})

/** Each of [rows]: a row has its own. */
export interface SampleOptions {
  /** i32. */
  seed: Tensor
  /** i32: how many draws of this seed came before, such as the length of the sequence. The same seed and step, the same token. */
  step: Tensor
  /** 0 takes the largest logit; 1 unless given. */
  temperature?: Tensor | undefined
  /** i32: only the k largest logits; 0: all. */
  topK?: Tensor | undefined
  /** Of these, from the largest on, only the fewest that have this probability together (Holtzman et al. 2020). */
  topP?: Tensor | undefined
  /** Of these only those with at least this share of the probability of the largest (Nguyen et al. 2024). */
  minP?: Tensor | undefined
}

/**
 * One token i32 [rows] of each row of logits [rows, vocabSize], with probabilities softmax(logits / temperature) over what
 * the filters leave; of equal logits the smaller ids stay. Penalties and constraints are applied to the logits before (−∞:
 * never). Nothing is sorted, and the result depends neither on the other rows nor on the number of threads. Logits with
 * NaN, or of which the largest is infinite, and numbers outside of their range are errors when it runs.
 */
export function sample(logits: Tensor, options: SampleOptions): Tensor {
  checkTensor('sample', 'logits', logits)
  checkOptions('sample', options, names)
  const given = names.map((name) =>
    options[name] === undefined && name !== 'seed' && name !== 'step'
      ? undefined
      : checkTensor('sample', name, options[name]),
  )
  return apply(sampleOp, [logits, ...given], {})[0]!
}
