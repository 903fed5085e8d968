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

export const samplingOptionNames = ['temperature', 'topK', 'topP', 'seed']

/** Chooses the next token from logits. */
export type Sampler = (logits: Float32Array) => number

/** Temperature, then top-k, then top-p; ties go to the smaller id. Throws ArgumentError for logits that hold NaN. */
export function sampler(options: SamplingOptions = {}): Sampler {
  checkOptions('sampler', options, samplingOptionNames)
  const temperature = checkNumber('sampler', 'temperature', options.temperature ?? 1, 0)
  const topK = options.topK === undefined ? Infinity : checkInteger('sampler', 'topK', options.topK, 1)
  const topP = checkNumber('sampler', 'topP', options.topP ?? 1, 0, 1)
  if (temperature === 0 || topK === 1) return argmax
  const random = new Random(
    options.seed === undefined ? Math.random() * 2 ** 48 : checkInteger('sampler', 'seed', options.seed, 0),
  )
  return (logits) => {
    const best = logits[argmax(logits)]!
    const weight = (id: number): number => Math.exp((logits[id]! - best) / temperature)
    const candidates = nucleus(Array.from(logits.keys()), logits, weight, topK, topP)
    let left = random.uniform() * candidates.reduce((sum, id) => sum + weight(id), 0)
    for (const id of candidates) if ((left -= weight(id)) < 0) return id
    return candidates.at(-1)!
  }
}

/** The ids that may be chosen: all of them, or the most likely first, cut by top-k and top-p. */
function nucleus(
  ids: number[],
  logits: Float32Array,
  weight: (id: number) => number,
  topK: number,
  topP: number,
): number[] {
  if (topK >= ids.length && topP >= 1) return ids
  const ranked = ids.sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, Math.min(topK, ids.length))
  if (topP >= 1) return ranked
  const total = ranked.reduce((sum, id) => sum + weight(id), 0)
  let reached = 0
  const last = ranked.findIndex((id) => (reached += weight(id)) >= topP * total)
  return ranked.slice(0, Math.max(0, last) + 1)
}

function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id]!))
      throw new ArgumentError(`sampler: the logit of token ${id} is NaN; the model's weights are broken`)
    if (logits[id]! > logits[best]!) best = id
  }
  return best
}
