import { InvalidArgumentError } from 'commander'

/** For `.option(flags, description, integer(1))`: a whole number in [min, max], else wrong usage. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  return parse((n) => Number.isSafeInteger(n) && n >= min && n <= max, `Expected a whole number ${range}.`)
}

/** A number in [min, max]. */
export function number(min = -Infinity, max = Infinity): (text: string) => number {
  const bounds = [min > -Infinity && `of at least ${min}`, max < Infinity && `of at most ${max}`].filter(Boolean)
  const range = bounds.length ? ` ${bounds.join(' and ')}` : ''
  return parse((n) => Number.isFinite(n) && n >= min && n <= max, `Expected a number${range}.`)
}

function parse(accepts: (n: number) => boolean, expected: string): (text: string) => number {
  return (text) => {
    const n = text.trim() === '' ? NaN : Number(text)
    if (!accepts(n)) throw new InvalidArgumentError(expected)
    return n
  }
}
