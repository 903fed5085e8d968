import type { Metrics, TrainerEvent } from '../train/index.ts'
import { drawLossCurve, type LossPoint } from './loss-curve.ts'
import { TrainingProgress } from './progress.ts'
import { terminalOf } from './terminal.ts'

export interface TrainingDisplayOptions {
  steps: number
  tokensPerStep: number
  /** Of the run that this one goes on with. */
  earlier?: readonly Metrics[]
}

/** What a script sees of a training. */
export interface TrainingFigures {
  /** Those of an earlier run that this one went on with included. */
  steps: number
  /** Of the last step; null before the first. */
  loss: number | null
  /** The last one; null when there is none. */
  validationLoss: number | null
  /** From the beginning to the last step, evaluations included. */
  tokensPerSecond: number | null
  seconds: number
  peakMemoryBytes: number
}

/** What a person sees of a training on standard error: a live line, then the curve of the loss. */
export class TrainingDisplay {
  readonly #progress: TrainingProgress
  readonly #points: LossPoint[]
  readonly #tokensPerStep: number
  readonly #firstStep: number
  readonly #start = performance.now()
  #lastStepAt = this.#start
  #lastStep: number

  constructor({ steps, tokensPerStep, earlier = [] }: TrainingDisplayOptions) {
    this.#firstStep = this.#lastStep = earlier.at(-1)?.step ?? 0
    this.#progress = new TrainingProgress(steps, this.#firstStep)
    this.#tokensPerStep = tokensPerStep
    this.#points = [...earlier]
  }

  event(event: TrainerEvent): void {
    if (event.type === 'step') {
      this.#points.push({ step: event.step, loss: event.loss })
      this.#progress.update(event)
      this.#lastStep = event.step
      this.#lastStepAt = performance.now()
    } else this.#points.push({ step: event.step, validationLoss: event.loss })
  }

  /** Leaves the line and draws the curve; nothing when standard error is no terminal. */
  finish(): void {
    this.#progress.finish()
    const { interactive, width, color } = terminalOf()
    if (!interactive || this.#points.length === 0) return
    const curve = drawLossCurve(this.#points, { width: Math.max(40, Math.min(width - 1, 100)), color })
    process.stderr.write(`\n${curve}\n\n`)
  }

  figures(): TrainingFigures {
    const tokens = (this.#lastStep - this.#firstStep) * this.#tokensPerStep
    return {
      steps: this.#lastStep,
      loss: this.#points.findLast(({ loss }) => loss !== undefined)?.loss ?? null,
      validationLoss:
        this.#points.findLast(({ validationLoss }) => validationLoss !== undefined)?.validationLoss ?? null,
      tokensPerSecond: tokens ? (1000 * tokens) / (this.#lastStepAt - this.#start) : null,
      seconds: (performance.now() - this.#start) / 1000,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    }
  }
}
