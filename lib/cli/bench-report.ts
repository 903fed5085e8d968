import type { BenchEvent } from '../bench/index.ts'
import { resultLine, resultText, settingText } from './bench-table.ts'
import { StatusLine, terminalOf } from './terminal.ts'

/** Shows a bench on standard output as it goes on, and what is under way on standard error. */
export class BenchReport {
  readonly #json: boolean
  readonly #status = new StatusLine()

  constructor(json: boolean) {
    this.#json = json
  }

  show(event: BenchEvent): void {
    const { color, interactive, width } = terminalOf(process.stdout)
    const room = interactive ? width : undefined
    if (event.type === 'start') {
      const { op, name, shape, dtype } = event.case
      this.#status.update(() => `${event.index + 1}/${event.count}  ${op}  ${name}  ${shape}  ${dtype}`)
      return
    }
    this.clear()
    if (this.#json) {
      if (event.type === 'result') process.stdout.write(`${resultLine(event.result)}\n`)
    } else {
      const text =
        event.type === 'setting' ? settingText(event.setting, color, room) : resultText(event.result, color, room)
      process.stdout.write(`${text}\n`)
    }
  }

  clear(): void {
    this.#status.clear()
  }
}
