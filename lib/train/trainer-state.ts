import { ArgumentError, checkInteger, checkOptions, describe } from '../errors.ts'
import type { Tensor } from '../tensor/tensor.ts'

export type TrainerEvent =
  | {
      type: 'step'
      /** Counted from 1. */
      step: number
      loss: number
      gradNorm: number
      learningRate: number
      /** Over this step. */
      tokensPerSecond: number
    }
  | { type: 'evaluation'; step: number; loss: number }

/** What has to be kept to go on later as if nothing had happened, beside the parameters. */
export interface TrainerState {
  step: number
  /** Nothing is left to evaluate at this step. */
  evaluated: boolean
  /** Of the batches' random numbers. */
  batches: number[]
  optimizer: ReadonlyMap<string, Tensor>
}

/** Throws ArgumentError unless `state` has the form of one. */
export function checkTrainerState(state: TrainerState): TrainerState {
  checkOptions('Trainer.restore', state, { step: 'any', evaluated: 'boolean', batches: 'any', optimizer: 'any' })
  checkInteger('Trainer.restore', 'step', state.step, 0)
  if (!(state.optimizer instanceof Map))
    throw new ArgumentError(`Trainer.restore: optimizer should be a map of tensors, got ${describe(state.optimizer)}`)
  return state
}

/** What can be stopped and put back to where it was. */
export interface Resumable {
  readonly state: TrainerState
  restore(state: TrainerState): void
}
