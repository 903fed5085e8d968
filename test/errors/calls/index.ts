import type { Call } from './call.ts'
import { files } from './files.ts'
import { layers } from './layers.ts'
import { models } from './models.ts'
import { operations } from './operations.ts'
import { tensors } from './tensors.ts'
import { tokenizers } from './tokenizers.ts'
import { training } from './training.ts'

/** Every public function, by its path in the package; `heedful/train` stands under `train`. */
export const calls: Readonly<Record<string, Call>> = {
  ...tensors,
  ...operations,
  ...layers,
  ...models,
  ...files,
  ...tokenizers,
  ...training,
}
