import { checkInteger, checkNumber, checkOptions } from '../errors.ts'

/** The learning rate of a step, counted from 1, of `steps`. */
export type Schedule = (step: number, steps: number) => number

export interface WarmupCosineOptions {
  /** The highest learning rate. */
  peak: number
  /** Steps of linear rise; 0 unless said. */
  warmup?: number
  /** What the cosine ends at; a tenth of the peak unless said. */
  final?: number
}

/** Linear warm-up, then half a cosine from `peak` down to `final` (Loshchilov & Hutter 2017). */
export function warmupCosine(options: WarmupCosineOptions): Schedule {
  checkOptions('warmupCosine', options, ['peak', 'warmup', 'final'])
  const peak = checkNumber('warmupCosine', 'peak', options.peak, 0)
  const warmup = checkInteger('warmupCosine', 'warmup', options.warmup ?? 0, 0)
  const final = checkNumber('warmupCosine', 'final', options.final ?? peak / 10, 0)
  return (step, steps) => {
    if (step <= warmup) return (peak * step) / warmup
    const progress = Math.min(1, (step - 1 - warmup) / Math.max(1, steps - 1 - warmup))
    return final + 0.5 * (peak - final) * (1 + Math.cos(Math.PI * progress))
  }
}

/** The same learning rate all the time. */
export function constantRate(learningRate: number): Schedule {
  checkNumber('constantRate', 'learningRate', learningRate, 0)
  return () => learningRate
}
