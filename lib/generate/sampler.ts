import { ArgumentError, checkInteger, checkNumber, checkOptions } from '../errors.ts'
import { Random } from '../tensor/random.ts'

export interface SamplingOptions {
  /** 0 takes the most likely token; below 1 is more careful, above 1 more daring. 1 unless said. */
  temperature?: number
  /** Only the k most likely tokens. */
  topK?: number
  /** Only the most likely tokens that together have this probability (Holtzman et al. 2020). */
  topP?: number
  /** Same seed, same choices. */
  seed?: number
}

export const samplingOptions = { temperature: 'any', topK: 'any', topP: 'any', seed: 'any' } as const

/** Chooses the next token from logits. */
export type Sampler = (logits: Float32Array) => number

/** Temperature, then top-k, then top-p; ties go to the smaller id. Throws ArgumentError for logits that hold NaN or whose largest is infinite. */
export function sampler(options: SamplingOptions = {}): Sampler {
  checkOptions('sampler', options, samplingOptions)
  const temperature = checkNumber('sampler', 'temperature', options.temperature ?? 1, 0)
  const topK = options.topK === undefined ? Infinity : checkInteger('sampler', 'topK', options.topK, 1)
  const topP = checkNumber('sampler', 'topP', options.topP ?? 1, 0, 1)
  if (temperature === 0 || topK === 1) return argmax
  const random = new Random(
    options.seed === undefined ? Math.random() * 2 ** 48 : checkInteger('sampler', 'seed', options.seed, 0),
  )
  return (logits) => {
    const weights = weigh(logits, temperature)
    if (topK < weights.length || topP < 1) keepLikeliest(weights, topK, topP)
    return draw(weights, random.uniform())
  }
}

/** Probabilities up to a common factor. */
function weigh(logits: Float32Array, temperature: number): Float64Array {
  const best = logits[argmax(logits)]!
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id]! - best) / temperature)
  return weights
}

/** Sets what top-k and top-p leave out to 0. */
function keepLikeliest(weights: Float64Array, topK: number, topP: number): void {
  const ranked = topK < weights.length ? largest(weights, topK) : aboveTail(weights, topP)
  const enough = topP * sum(topK < weights.length ? ranked : weights)
  let [count, reached] = [0, 0]
  while (count < ranked.length && (count === 0 || reached < enough)) reached += ranked[count++]!
  const smallest = ranked[count - 1]!
  let equals = count - ranked.indexOf(smallest)
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!
    if (weight < smallest || (weight === smallest && equals-- <= 0)) weights[id] = 0
  }
}

/** The k largest, descending. Most weights are only compared: the event loop waits for this. */
function largest(weights: Float64Array, k: number): Float64Array {
  const kept = new Float64Array(Math.min(2 * k, weights.length))
  let [count, floor] = [0, -1]
  for (const weight of weights) {
    if (weight <= floor) continue
    kept[count++] = weight
    if (count < kept.length) continue
    kept.sort().reverse()
    count = k
    floor = kept[k - 1]!
  }
  return kept.subarray(0, count).sort().reverse().subarray(0, k)
}

/** Descending, without those that even all together are less than 1 − topP of the whole. */
function aboveTail(weights: Float64Array, topP: number): Float64Array {
  const negligible = ((1 - topP) * sum(weights)) / weights.length
  return weights
    .filter((weight) => weight >= negligible)
    .sort()
    .reverse()
}

/** `uniform` in [0, 1) → an id with a probability in proportion to its weight. */
function draw(weights: Float64Array, uniform: number): number {
  let left = uniform * sum(weights)
  let last = 0
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] === 0) continue
    last = id
    if ((left -= weights[id]!) < 0) break
  }
  return last
}

function sum(weights: Float64Array): number {
  let total = 0
  for (const weight of weights) total += weight
  return total
}

function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id]!))
      throw new ArgumentError(`sampler: the logit of token ${id} is NaN; the model's weights are broken`)
    if (logits[id]! > logits[best]!) best = id
  }
  if (!Number.isFinite(logits[best]))
    throw new ArgumentError(`sampler: the largest logit is ${logits[best]}; the model's weights are broken`)
  return best
}
