import { attention, attentionWithProbabilities, type AttentionOptions } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** `ops.attention`, of which `onAttention` is given the probabilities where somebody wants to see them. */
export function attend(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions,
  onAttention?: (probabilities: Tensor) => void,
): Tensor {
  if (!onAttention) return attention(q, k, v, options)
  const { output, probabilities } = attentionWithProbabilities(q, k, v, options)
  onAttention(probabilities)
  return output
}
