/** p_i = exp(x_i − max x) / Σ_j exp(x_j − max x). */
export function softmax(scores: ArrayLike<number>): Float64Array {
  const weights = Float64Array.from(scores)
  const largest = weights.reduce((most, score) => Math.max(most, score), -Infinity)
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += weights[i] = Math.exp(weights[i]! - largest)
  return weights.map((weight) => weight / sum)
}

export const sigmoid = (score: number): number => 1 / (1 + Math.exp(-score))

/** The places of the k largest, the largest first; of equals the first. */
export function largest(scores: ArrayLike<number>, k: number): number[] {
  const places = Array.from(scores, (_, place) => place)
  return places.sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, k)
}
