import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { parseJsonObject, readText } from '../files/read-file.ts'
import type { TrainerEvent } from './trainer-state.ts'

/** One line of JSON for each step and each evaluation. */
export const metricsFile = 'metrics.jsonl'

/** What a line holds: of a step, or of an evaluation. */
export type Metrics =
  | { step: number; loss: number; gradNorm: number; learningRate: number; tokensPerSecond: number }
  | { step: number; validationLoss: number }

/** The whole lines of a folder's metrics, oldest first. Throws FileError for a missing or damaged file. */
export async function readMetrics(folder: string): Promise<Metrics[]> {
  checkPath('readMetrics', folder)
  return (await readLines(join(folder, metricsFile))).map(({ metrics }) => metrics)
}

/** What stands behind the last line break was being written when the process was killed. */
async function readLines(path: string): Promise<{ text: string; metrics: Metrics }[]> {
  const text = await readText(path, 'readMetrics')
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line, i) => ({
    text: line,
    metrics: parseJsonObject(line, `readMetrics: ${path}: line ${i + 1}`) as unknown as Metrics,
  }))
}

/** Appends to metrics.jsonl, a line in one piece. */
export class MetricsWriter {
  readonly #path: string
  readonly #handle: FileHandle

  private constructor(path: string, handle: FileHandle) {
    this.#path = path
    this.#handle = handle
  }

  /** The lines that are there and for which `keep` holds stay. */
  static async open(folder: string, keep: (metrics: Metrics) => boolean): Promise<MetricsWriter> {
    const path = join(folder, metricsFile)
    const lines = await readLines(path).catch((error: unknown) => {
      if (error instanceof FileError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return []
      throw error
    })
    const kept = lines.filter(({ metrics }) => keep(metrics)).map(({ text }) => `${text}\n`)
    await writeTextAtomically(path, kept.join(''), 'metrics')
    const handle = await open(path, 'a').catch((cause: unknown) => {
      throw fileError('metrics', path, cause)
    })
    return new MetricsWriter(path, handle)
  }

  async append(event: TrainerEvent): Promise<void> {
    const { type, ...figures } = event
    const metrics: Metrics = type === 'step' ? (figures as Metrics) : { step: event.step, validationLoss: event.loss }
    await this.#attempt(this.#handle.appendFile(`${JSON.stringify(metrics)}\n`))
  }

  /** What was appended survives a power cut from now on. */
  async flush(): Promise<void> {
    await this.#attempt(this.#handle.datasync())
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async #attempt(work: Promise<void>): Promise<void> {
    await work.catch((cause: unknown) => {
      throw fileError('metrics', this.#path, cause)
    })
  }
}
