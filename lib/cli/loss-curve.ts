import { checkInteger, checkOptions } from '../errors.ts'
import { tickLabels, ticks } from './axis.ts'
import { BrailleCanvas } from './braille.ts'
import { paint } from './terminal.ts'

export interface LossPoint {
  step: number
  /** In training. */
  loss?: number
  validationLoss?: number
}

export interface LossCurveOptions {
  /** Characters per line, 80 unless said; at least 40. */
  width?: number
  /** Lines of the plot without title and axis, 12 unless said; at least 3. */
  height?: number
  color?: boolean
}

interface Dot {
  x: number
  y: number
}

const trainColor = 'cyan'
const validationColor = 'yellow'

/**
 * A line chart of a training for the terminal: a title with the losses at the end, the loss upwards, steps to the right.
 * The loss in training is averaged per column and smoothed; losses on the validation split are single marks. Numbers
 * that are not finite, or beyond ±1e30, are left out and counted in the title.
 */
export function drawLossCurve(points: readonly LossPoint[], options: LossCurveOptions = {}): string {
  checkOptions('drawLossCurve', options, ['width', 'height', 'color'])
  const width = checkInteger('drawLossCurve', 'width', options.width ?? 80, 40, 1000)
  const height = checkInteger('drawLossCurve', 'height', options.height ?? 12, 3, 1000)
  const color = options.color ?? false

  const inOrder = points.filter(({ step }) => drawable(step)).sort((a, b) => a.step - b.step)
  const train = finite(inOrder.map(({ step, loss }) => ({ x: step, y: loss ?? NaN })))
  const validation = finite(inOrder.map(({ step, validationLoss }) => ({ x: step, y: validationLoss ?? NaN })))
  const bad = points.filter(({ step, loss = 0, validationLoss = 0 }) => ![step, loss, validationLoss].every(drawable))
  if (train.length + validation.length === 0)
    return points.length ? `loss: none of ${points.length} points is finite` : 'loss: no points yet'

  const steps = [...train, ...validation].map(({ x }) => x)
  const [firstStep, lastStep] = widened(steps.reduce(smaller), steps.reduce(larger))
  const stepAt = (x: number, dots: number): number => ((x - firstStep) / (lastStep - firstStep)) * (dots - 1)

  // The line is smoothed before the range of the losses is known: the plot is as wide whatever the labels are.
  const most = (width - 2) * 2
  const curve = smooth(averagePerColumn(train, most, (x) => stepAt(x, most)))
  const losses = [...curve, ...validation].map(({ y }) => y)
  const [low, high] = widened(losses.reduce(smaller), losses.reduce(larger))

  const marks = ticks(low, high, Math.floor(height / 2))
  const labels = tickLabels(marks)
  const margin = Math.max(...labels.map((label) => label.length), 1)
  const canvas = new BrailleCanvas(width - margin - 2, height)
  const fit = (canvas.width - 1) / (most - 1)
  // The middle lies between two rows of dots; a little less than it keeps a constant in one row.
  const rowOf = (y: number): number => Math.round(((high - y) / (high - low)) * (canvas.height - 1) - 1e-6)
  for (const [i, { x, y }] of curve.entries()) {
    const before = curve[Math.max(i - 1, 0)]!
    canvas.line(Math.round(before.x * fit), rowOf(before.y), Math.round(x * fit), rowOf(y))
  }
  const validationCells = new Set(
    validation.map(({ x, y }) => (rowOf(y) >> 2) * canvas.columns + (Math.round(stepAt(x, canvas.width)) >> 1)),
  )

  const lines = [title(curve.at(-1)?.y, validation.at(-1)?.y, bad.length, width, color)]
  for (let row = 0; row < height; row++) {
    const mark = marks.findIndex((y) => rowOf(y) >> 2 === row)
    const edge = `${(labels[mark] ?? '').padStart(margin)} ${mark < 0 ? '│' : '┤'}`
    let cells = ''
    for (let column = 0; column < canvas.columns; column++)
      cells += validationCells.has(row * canvas.columns + column) ? '●' : canvas.character(column, row)
    const painted = cells
      .trimEnd()
      .replace(/●|[^ ●]+/g, (run) => paint(run, run === '●' ? validationColor : trainColor, color))
    lines.push(paint(edge, 'dim', color) + painted)
  }
  const axis = stepAxis(firstStep, lastStep, canvas.columns)
  return [...lines, ...axis.map((line) => paint(' '.repeat(margin + 1) + line, 'dim', color))].join('\n')
}

/** `loss by step   ── training 1.523   ● validation 1.702   (2 points not finite)`. */
function title(
  train: number | undefined,
  validation: number | undefined,
  bad: number,
  width: number,
  color: boolean,
): string {
  const parts: [plain: string, shown: string][] = []
  const add = (mark: string, text: string, of: 'cyan' | 'yellow'): void => {
    parts.push([`${mark} ${text}`, `${paint(mark, of, color)} ${text}`])
  }
  if (train !== undefined) add('──', `training ${formatLoss(train)}`, trainColor)
  if (validation !== undefined) add('●', `validation ${formatLoss(validation)}`, validationColor)
  if (bad) parts.push([`(${bad} not finite)`, `(${bad} not finite)`])
  let shown = 'loss by step'
  let length = shown.length
  for (const [plain, painted] of parts) {
    if (length + 3 + plain.length > width) break
    shown += `   ${painted}`
    length += 3 + plain.length
  }
  return shown
}

/** The axis with its marks, and their labels in the middle below, as many as have room. */
function stepAxis(first: number, last: number, columns: number): string[] {
  const marks = ticks(first, last, Math.floor(columns / 12), 1)
  const line = ['└', ...'─'.repeat(columns)]
  let below = ''
  for (const [i, label] of tickLabels(marks).entries()) {
    const column = 1 + (Math.round(((marks[i]! - first) / (last - first)) * (columns * 2 - 1)) >> 1)
    const start = Math.max(0, Math.min(column - (label.length >> 1), columns + 1 - label.length))
    if (below !== '' && start <= below.length) continue
    line[column] = '┬'
    below = below.padEnd(start) + label
  }
  return [line.join(''), below]
}

/** The mean of the points of each of `count` columns, columns without points left out. */
function averagePerColumn(points: readonly Dot[], count: number, columnOf: (x: number) => number): Dot[] {
  const sums = new Float64Array(count)
  const counts = new Int32Array(count)
  for (const { x, y } of points) {
    const column = Math.round(columnOf(x))
    sums[column]! += y
    counts[column]!++
  }
  const all = Array.from(sums, (sum, x) => ({ x, y: sum / counts[x]! }))
  return all.filter(({ x }) => counts[x]! > 0)
}

/** In columns: a noisy loss becomes a line, a fall at the start stays one. */
const smoothingRadius = 2

/** Means weighted by a Gaussian over the columns around. */
function smooth(line: readonly Dot[]): Dot[] {
  return line.map(({ x }, i) => {
    let sum = 0
    let weights = 0
    for (let j = Math.max(0, i - 2 * smoothingRadius); j < line.length && line[j]!.x <= x + 2 * smoothingRadius; j++) {
      const weight = Math.exp(-0.5 * ((line[j]!.x - x) / smoothingRadius) ** 2)
      sum += weight * line[j]!.y
      weights += weight
    }
    return { x, y: sum / weights }
  })
}

const drawable = (value: number): boolean => Math.abs(value) <= 1e30
const finite = (dots: Dot[]): Dot[] => dots.filter(({ y }) => drawable(y))
const smaller = (a: number, b: number): number => Math.min(a, b)
const larger = (a: number, b: number): number => Math.max(a, b)
const formatLoss = (loss: number): string => (Math.abs(loss) < 1e6 ? loss.toFixed(3) : loss.toExponential(2))

/** A range with room in it: what is but one value lies in the middle. */
function widened(low: number, high: number): [number, number] {
  const room = Math.max(Math.abs(low), Math.abs(high), 1) * 1e-6
  return high - low > room
    ? [low, high]
    : [low - Math.max(Math.abs(low) * 0.1, 0.5), high + Math.max(Math.abs(high) * 0.1, 0.5)]
}
