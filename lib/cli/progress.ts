import { paint, StatusLine, type Output, type Terminal } from './terminal.ts'

/** What the line of a training shows. */
export interface ProgressState {
  /** Steps done. */
  step: number
  steps: number
  loss: number
  tokensPerSecond: number
  /** undefined while nobody can tell. */
  secondsLeft: number | undefined
}

/** `━━━━━━╌╌╌╌  312/1000  loss 2.134  48.2k tokens/s  0:41 left`, at most `width − 1` characters. */
export function formatProgress(state: ProgressState, { width, color }: Pick<Terminal, 'width' | 'color'>): string {
  const { step, steps, loss, tokensPerSecond, secondsLeft } = state
  const done = step >= steps
  const figures = [
    `${String(step).padStart(String(steps).length)}/${steps}`,
    `loss ${Number.isFinite(loss) ? loss.toFixed(3) : loss}`,
    `${formatCount(tokensPerSecond)} tokens/s`,
    ...(done || secondsLeft === undefined ? [] : [`${formatDuration(secondsLeft)} left`]),
  ].join('  ')
  const cells = Math.min(30, width - 1 - figures.length - 2)
  if (cells < 5) return figures.slice(0, width - 1)
  const full = Math.min(cells, Math.floor((cells * step) / Math.max(steps, 1)))
  return `${paint('━'.repeat(full), 'green', color)}${paint('╌'.repeat(cells - full), 'dim', color)}  ${figures}`
}

/** Three figures at most: 950, 48.2k, 1.35M. */
export function formatCount(n: number): string {
  if (!Number.isFinite(n)) return '–'
  for (const [unit, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (n >= unit * 0.9995) return `${(n / unit).toPrecision(3)}${letter}`
  return String(Math.round(n))
}

const two = (n: number): string => String(n).padStart(2, '0')

/** 0:07, 12:30, 3:05:00. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds)
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

/** The weight of a new step in what is shown of the speed: the mean of about the last twenty. */
const newest = 0.05

/** The live line of a training. Silent when standard error is no terminal. */
export class TrainingProgress {
  readonly #line: StatusLine
  readonly #now: () => number
  readonly #steps: number
  readonly #firstStep: number
  readonly #start: number
  #state: ProgressState

  /** `firstStep`: how many steps were done before this run, if it goes on with an earlier one. */
  constructor(
    steps: number,
    firstStep = 0,
    output: Output = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#line = new StatusLine(output, now)
    this.#now = now
    this.#steps = steps
    this.#firstStep = firstStep
    this.#start = now()
    this.#state = { step: firstStep, steps, loss: NaN, tokensPerSecond: NaN, secondsLeft: undefined }
  }

  /** After each step; takes the event of the trainer as it is. */
  update({ step, loss, tokensPerSecond }: Pick<ProgressState, 'step' | 'loss' | 'tokensPerSecond'>): void {
    const before = this.#state.tokensPerSecond
    const speed = Number.isNaN(before) ? tokensPerSecond : before + newest * (tokensPerSecond - before)
    const perStep = (this.#now() - this.#start) / 1000 / (step - this.#firstStep)
    const secondsLeft = perStep > 0 && Number.isFinite(perStep) ? perStep * (this.#steps - step) : undefined
    this.#state = { step, steps: this.#steps, loss, tokensPerSecond: speed, secondsLeft }
    this.#line.update((terminal) => formatProgress(this.#state, terminal))
  }

  /** Removes the line until the next update, for something else to be written. */
  clear(): void {
    this.#line.clear()
  }

  /** Leaves the line as it is on the screen. */
  finish(): void {
    this.#line.finish((terminal) => formatProgress(this.#state, terminal))
  }
}
