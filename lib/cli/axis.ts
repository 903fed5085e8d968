/** Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], about `count` of them. */
export function ticks(low: number, high: number, count: number, smallestStep = 0): number[] {
  const step = Math.max(niceStep((high - low) / Math.max(count, 1)), smallestStep)
  const first = Math.ceil(low / step)
  const last = Math.floor(high / step)
  // By division, not by adding up: 3 / 10 is 0.3, and 0.1 + 0.1 + 0.1 is not.
  const of = (i: number): number => (step < 1 ? i / Math.round(1 / step) : i * step)
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => of(first + i))
}

/** The smallest of 1, 2, 5, 10, … times a power of ten that is at least `step`. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step))
  return power * ([1, 2, 5].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10)
}

/** All in the same form, with as many decimals as tell them apart; exponents where figures would be many. */
export function tickLabels(values: readonly number[]): string[] {
  const largest = Math.max(...values.map(Math.abs))
  const step = values.length > 1 ? Math.abs(values[1]! - values[0]!) : largest
  if (step > 0 && (largest >= 1e7 || step < 1e-4)) return values.map((value) => value.toExponential(1))
  const decimals = step > 0 ? Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) : 0
  return values.map((value) => value.toFixed(decimals))
}
