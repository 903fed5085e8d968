import { createHash } from 'node:crypto'
import { splitTokens } from '../data/split.ts'
import { FileError } from '../errors.ts'
import { readText } from '../files/read-file.ts'
import { CharTokenizer } from '../text/char-tokenizer.ts'
import { loadTokenizer } from '../text/load-tokenizer.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { TrainSettings } from './train-settings.ts'

export interface TrainingText {
  tokenizer: Tokenizer
  sha256: string
  train: Int32Array
  /** undefined for a text too short to hold some out. */
  validation: Int32Array | undefined
}

/** Reads and splits the text of a training. Throws FileError for one that changed since the run was begun. */
export async function openText(
  { data, sha256: expected, tokenizer: kind, context }: TrainSettings,
  warn: (text: string) => void,
): Promise<TrainingText> {
  const text = await readText(data, 'train')
  const sha256 = createHash('sha256').update(text).digest('hex')
  if (expected !== undefined && sha256 !== expected)
    throw new FileError(`train: ${data}: not the text that this run was begun with; start again without --resume`)
  const tokenizer = kind === 'char' ? CharTokenizer.train(text) : await loadTokenizer(kind)
  const { train, validation } = splitTokens(tokenizer.encode(text))
  if (validation.length > context) return { tokenizer, sha256, train, validation }
  warn(`No validation: the last tenth of the text has ${validation.length} tokens, a window takes ${context + 1}`)
  return { tokenizer, sha256, train, validation: undefined }
}
