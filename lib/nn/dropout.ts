import { ArgumentError, checkOptions, describe } from '../errors.ts'
import { checkTensor } from '../ops/define-op.ts'
import { dropout } from '../ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/**
 * Where the dropouts of one forward pass get their randomness: a seed, which is an input of the program, and a number
 * per dropout, in the order of the calls. Without one, layers drop nothing: that is inference.
 */
export class DropoutSource {
  readonly #seed: Tensor
  #next = 0

  /** seed: i32 scalar. */
  constructor(seed: Tensor) {
    this.#seed = checkTensor('DropoutSource', 'seed', seed)
  }

  drop(x: Tensor, probability: number): Tensor {
    return dropout(x, { probability, seed: this.#seed, stream: this.#next++ })
  }
}

export interface Dropping {
  /** Given while training only. */
  dropout?: DropoutSource | undefined
}

export function checkSource(operation: string, source: DropoutSource | undefined): void {
  if (source !== undefined && !(source instanceof DropoutSource))
    throw new ArgumentError(`${operation}: dropout should be a DropoutSource, got ${describe(source)}`)
}

export function checkDropping(operation: string, options: Dropping): void {
  checkOptions(operation, options, ['dropout'])
  checkSource(operation, options.dropout)
}

export const dropWith = (x: Tensor, probability: number, { dropout: source }: Dropping): Tensor =>
  source && probability > 0 ? source.drop(x, probability) : x
