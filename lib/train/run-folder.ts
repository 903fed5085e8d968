import { access, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { saveDecoder } from '../models/pretrained.ts'
import type { DecoderModel } from '../models/decoder-model.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { metricsFile } from './metrics.ts'
import { restoreTrainerState, saveTrainerState, trainerStateFile } from './resume.ts'
import type { Resumable } from './trainer-state.ts'

/** Begins a run in a folder. What an earlier run needed to go on is removed; its model stays until the first save. */
export async function startRun(folder: string): Promise<void> {
  checkPath('startRun', folder)
  try {
    await mkdir(folder, { recursive: true })
    await rm(join(folder, trainerStateFile), { force: true })
  } catch (cause) {
    throw fileError('Trainer', folder, cause)
  }
  await writeTextAtomically(join(folder, metricsFile), '', 'Trainer')
}

/** Puts back what was saved last; leaves everything as it is if the run in the folder has saved nothing yet. */
export async function resumeRun(folder: string, model: DecoderModel, trainer: Resumable): Promise<void> {
  if (await exists(join(folder, trainerStateFile))) return restoreTrainerState(folder, model, trainer)
  if (!(await exists(join(folder, metricsFile))))
    throw new FileError(`resume: ${folder}: no training was begun there; start one without resuming`)
}

/** The model as a folder that generates, and what resuming needs. */
export async function saveRun(
  folder: string,
  model: DecoderModel,
  trainer: Resumable,
  tokenizer: Tokenizer | undefined,
): Promise<void> {
  await tokenizer?.save(folder)
  // Left out, they would be those of the real GPT-2 to transformers.
  const config = { bos_token_id: tokenizer?.bosTokenId ?? null, eos_token_id: tokenizer?.eosTokenId ?? null }
  await saveDecoder(model, folder, { config })
  await saveTrainerState(folder, model, trainer)
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
