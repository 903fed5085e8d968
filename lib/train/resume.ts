import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { readSafetensors, writeSafetensors } from '../checkpoint/safetensors.ts'
import type { DecoderModel } from '../models/decoder-model.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Trainer } from './trainer.ts'

/** Everything that a run needs to go on, in one file, so that it is never half of one step and half of another. */
export const trainerStateFile = 'trainer-state.safetensors'

/** Writes parameters, optimizer moments and counters into a folder, atomically. */
export async function saveTrainerState(folder: string, model: DecoderModel, trainer: Trainer): Promise<void> {
  const { step, batches, optimizer } = trainer.state
  const tensors: [string, Tensor][] = []
  for (const [name, parameter] of model.parameters()) tensors.push([`model.${name}`, parameter])
  for (const [name, moment] of optimizer) tensors.push([`optimizer.${name}`, moment])
  await writeSafetensors(join(folder, trainerStateFile), tensors, {
    step: String(step),
    batches: JSON.stringify(batches),
  })
}

/** Puts a saved run back into a model and trainer made with the same options. Throws FileError for a file that is none. */
export async function restoreTrainerState(folder: string, model: DecoderModel, trainer: Trainer): Promise<void> {
  const path = join(folder, trainerStateFile)
  const { tensors, metadata } = await readSafetensors(path)
  try {
    const part = (prefix: string): Map<string, Tensor> =>
      new Map(
        [...tensors]
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
      )
    const step = Number(metadata['step'])
    if (!Number.isInteger(step) || step < 0)
      throw new FileError(
        `${path}: step should be a whole number, got ${metadata['step']}; start again without --resume`,
      )
    const optimizer = part('optimizer.')
    model.loadStateDict(part('model.'))
    trainer.restore({ step, batches: parseNumbers(path, metadata['batches']), optimizer })
  } finally {
    for (const tensor of tensors.values()) tensor.dispose()
  }
}

function parseNumbers(path: string, text: string | undefined): number[] {
  try {
    const value: unknown = JSON.parse(text ?? '')
    if (Array.isArray(value) && value.every((n) => typeof n === 'number')) return value
  } catch {
    // Told below, as for anything else that is no list of numbers.
  }
  throw new FileError(`${path}: batches should be a list of numbers, got ${text}; start again without --resume`)
}
