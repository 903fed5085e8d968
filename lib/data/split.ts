import { ArgumentError, checkNumber, describe } from '../errors.ts'

export interface Split {
  train: Int32Array
  validation: Int32Array
}

/** The first ⌊fraction · n⌋ tokens to train on, the rest to validate with. Views, not copies. */
export function splitTokens(tokens: Int32Array, fraction = 0.9): Split {
  if (!(tokens instanceof Int32Array))
    throw new ArgumentError(`splitTokens: expected an Int32Array, got ${describe(tokens)}`)
  const at = Math.floor(tokens.length * checkNumber('splitTokens', 'fraction', fraction, 0, 1))
  return { train: tokens.subarray(0, at), validation: tokens.subarray(at) }
}
