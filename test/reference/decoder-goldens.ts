import { readFileSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { weightValues } from './weight-values.ts'

/** What make-decoders.py keeps of a tensor: every so many numbers. */
export interface Sampled {
  l2: number
  sum: number
  step: number
  samples: number[]
}
interface Side {
  loss: number
  logits: Sampled
  hiddenStates: Sampled[]
  /** Of each layer, from tokens that are no padding to such. */
  attentions: Sampled[]
}
export interface ModelDescription {
  config: Record<string, unknown>
  tensors: Record<string, number[]>
}
export interface HeadCase extends ModelDescription {
  loss: number
  logits: number[]
  gradients: Record<string, Sampled>
}
interface Case extends ModelDescription {
  /** config.json as old files have it; `config` is what transformers makes of it. */
  given: Record<string, unknown>
  right: Side
  left: Side
  gradients: Record<string, Sampled>
  greedy: number[][]
  /** Options as transformers calls them, and what follows each row, filled up at the end. */
  ways?: { options: Record<string, unknown>; tokens: number[][] }[]
  classification?: HeadCase
  tokens?: HeadCase
  answers?: HeadCase
}

/** What make-decoders.py wrote. */
export const goldens = JSON.parse(
  gunzipSync(readFileSync(new URL('decoders.json.gz', import.meta.url))).toString(),
) as {
  rows: number[][]
  newTokens: number
  cases: Record<string, Case>
}

/** A model folder with the weights of the rule. */
export async function makeFolder({ config, tensors }: ModelDescription): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  const weights = Object.entries(tensors).map(([name, shape]): [string, Tensor] => [
    name,
    fromData(weightValues(name, shape), { shape }),
  ])
  await writeSafetensors(join(folder, 'model.safetensors'), weights, { format: 'pt' })
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  for (const [, weight] of weights) weight.dispose()
  return folder
}
