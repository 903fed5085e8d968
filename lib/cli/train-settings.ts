import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { readJson } from '../files/read-file.ts'

/** Everything that decides which model `heedful train` makes. */
export interface TrainSettings {
  task: 'causal-lm'
  /** Absolute path. */
  data: string
  /** `char` or an absolute path. */
  tokenizer: string
  layers: number
  heads: number
  hiddenSize: number
  context: number
  dropout: number
  batchSize: number
  steps: number
  learningRate: number
  warmupSteps?: number
  weightDecay: number
  evaluateEvery: number
  saveEvery: number
  /** Of the products of a step. */
  precision: 'f32' | 'bf16'
  seed: number
  /** Of the text, once it is known. */
  sha256?: string
}

/** In the folder of a run, for it to be resumed without telling everything again. */
const settingsFile = 'train-settings.json'

export async function saveSettings(folder: string, settings: TrainSettings): Promise<void> {
  await writeTextAtomically(join(folder, settingsFile), `${JSON.stringify(settings, null, 2)}\n`, 'train')
}

/** What may differ without making another model of it, or, as `steps`, is meant to. */
const changeable: readonly string[] = ['data', 'steps', 'saveEvery']

/**
 * The settings of the run in a folder, with those that are `given` now and may change. Calls `wrong` for one that
 * differs and may not. Throws FileError for a folder without a run.
 */
export async function resumedSettings(
  folder: string,
  chosen: TrainSettings,
  given: readonly string[],
  wrong: (message: string) => never,
): Promise<TrainSettings> {
  const saved = await readSettings(folder)
  for (const name of given as (keyof TrainSettings)[]) {
    if (changeable.includes(name)) Object.assign(saved, { [name]: chosen[name] })
    else if (saved[name] !== chosen[name])
      wrong(
        `--resume goes on with ${optionOf(name)} ${saved[name]}, not ${chosen[name]}; leave it out, or start again without --resume`,
      )
  }
  return saved
}

async function readSettings(folder: string): Promise<TrainSettings> {
  try {
    const saved = (await readJson(join(folder, settingsFile), 'train')) as unknown as TrainSettings
    // Runs that were begun before there was a choice.
    return { ...saved, precision: saved.precision ?? 'f32' }
  } catch (cause) {
    throw new FileError(`train: ${folder} holds no run that can be resumed: ${(cause as Error).message}`, { cause })
  }
}

/** batchSize → --batch-size */
const optionOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
