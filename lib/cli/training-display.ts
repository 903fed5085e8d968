import type { TrainerEvent } from '../train/index.ts'
import { drawLossCurve, type LossPoint } from './loss-curve.ts'
import { TrainingProgress } from './progress.ts'
import { terminalOf } from './terminal.ts'

/** What a person sees of a training on standard error: a live line, then the curve of the loss. */
export class TrainingDisplay {
  readonly #progress: TrainingProgress
  readonly #points: LossPoint[] = []

  constructor(steps: number, firstStep = 0) {
    this.#progress = new TrainingProgress(steps, firstStep)
  }

  event(event: TrainerEvent): void {
    if (event.type === 'step') {
      this.#points.push({ step: event.step, loss: event.loss })
      this.#progress.update(event)
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
}
