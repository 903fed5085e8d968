import { join } from 'node:path'
import { ArgumentError, describe, FileError } from '../errors.ts'
import { readSafetensors, writeSafetensors } from '../checkpoint/safetensors.ts'
import { checkPath } from '../files/file-error.ts'
import { checkModel, type DecoderModel } from '../models/decoder-model.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Resumable, TrainerState } from './trainer-state.ts'

/** Everything that a run needs to go on, in one file, so that it is never half of one step and half of another. */
export const trainerStateFile = 'trainer-state.safetensors'

const counters = 'counters'

/** Writes parameters, optimizer moments and counters into a folder, atomically. */
export async function saveTrainerState(folder: string, model: DecoderModel, trainer: Resumable): Promise<void> {
  checkArguments('saveTrainerState', folder, model, trainer)
  const { optimizer, ...counts } = trainer.state
  const tensors: [string, Tensor][] = []
  for (const [name, parameter] of model.parameters()) tensors.push([`model.${name}`, parameter])
  for (const [name, moment] of optimizer) tensors.push([`optimizer.${name}`, moment])
  await writeSafetensors(join(folder, trainerStateFile), tensors, { [counters]: JSON.stringify(counts) })
}

/** Puts a saved run back into a model and trainer made with the same options. Throws FileError for a file that is none. */
export async function restoreTrainerState(folder: string, model: DecoderModel, trainer: Resumable): Promise<void> {
  checkArguments('restoreTrainerState', folder, model, trainer)
  const path = join(folder, trainerStateFile)
  const { tensors, metadata } = await readSafetensors(path)
  try {
    const counts = parseCounters(path, metadata[counters])
    const part = (prefix: string): Map<string, Tensor> =>
      new Map(
        [...tensors]
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
      )
    model.loadStateDict(part('model.'))
    trainer.restore({ ...counts, optimizer: part('optimizer.') })
  } finally {
    for (const tensor of tensors.values()) tensor.dispose()
  }
}

function checkArguments(operation: string, folder: string, model: DecoderModel, trainer: Resumable): void {
  checkPath(operation, folder)
  checkModel(operation, model)
  if (typeof Object(trainer).restore !== 'function')
    throw new ArgumentError(`${operation}: expected a Trainer, got ${describe(trainer)}`)
}

function parseCounters(path: string, text: string | undefined): Omit<TrainerState, 'optimizer'> {
  try {
    const { step, evaluated, batches } = JSON.parse(text ?? '') as Partial<TrainerState>
    const sound =
      Number.isSafeInteger(step) &&
      step! >= 0 &&
      typeof evaluated === 'boolean' &&
      Array.isArray(batches) &&
      batches.every(Number.isInteger)
    if (sound) return { step: step!, evaluated, batches }
  } catch {
    // Told below, as for anything else that is none.
  }
  throw new FileError(`${path}: not the state of a training: its counters are ${text}; start again without resuming`)
}
