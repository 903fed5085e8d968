import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { AutoModelForCausalLM } from '../../lib/generate/causal-lm.ts'
import {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForPreTraining,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
} from '../../lib/models/auto.ts'
import type { LoadOptions } from '../../lib/models/load-model.ts'
import type { ModelInputs } from '../../lib/models/model-inputs.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { weightValues } from '../reference/weight-values.ts'

interface Opened extends Disposable {
  run(inputs: ModelInputs): Promise<Disposable & { logits?: Tensor; lastHiddenState: Tensor }>
}
interface Case {
  readonly name: string
  readonly config: { architectures: string[] }
  readonly tensors: Record<string, number[]>
}

const read = (name: string): unknown =>
  JSON.parse(gunzipSync(readFileSync(new URL(`../reference/${name}`, import.meta.url))).toString())

const encoders = read('encoders.json.gz') as { cases: (Case & { weights: Record<string, number[]> })[] }
const decoders = read('decoders.json.gz') as { cases: Record<string, Case> }
const cases: Case[] = [
  ...encoders.cases.map(({ name, config, weights }) => ({ name, config, tensors: weights })),
  ...Object.entries(decoders.cases).map(([name, { config, tensors }]) => ({ name, config, tensors })),
]

const classes: Readonly<Record<string, { fromPretrained(folder: string, options: LoadOptions): Promise<unknown> }>> = {
  ForCausalLM: AutoModelForCausalLM,
  LMHeadModel: AutoModelForCausalLM,
  ForMaskedLM: AutoModelForMaskedLM,
  ForSequenceClassification: AutoModelForSequenceClassification,
  ForTokenClassification: AutoModelForTokenClassification,
  ForQuestionAnswering: AutoModelForQuestionAnswering,
  ForPreTraining: AutoModelForPreTraining,
  Model: AutoModel,
}

/** Random weights of 16 to 64 inputs: errors of some products after each other, none of which is averaged out. */
const bounds = { bf16: 0.05, int8: 0.15 } as const

describe('every family and head opens in fewer bits', () => {
  it.each(cases.map((given) => [given.name, given] as const))('%s', async (_, { config, tensors }) => {
    const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    try {
      const weights = Object.entries(tensors).map(([name, shape]): [string, Tensor] => [
        name,
        fromData(weightValues(name, shape), { shape }),
      ])
      await writeSafetensors(join(folder, 'model.safetensors'), weights)
      for (const [, weight] of weights) weight.dispose()
      await writeFile(join(folder, 'config.json'), JSON.stringify(config))
      const auto = Object.entries(classes).find(([end]) => config.architectures[0]!.endsWith(end))![1]
      const outputs = async (dtype: 'f32' | 'bf16' | 'int8'): Promise<Float32Array> => {
        using model = (await auto.fromPretrained(folder, { dtype })) as Opened
        using made = await model.run({
          inputIds: [
            [3, 7, 9, 2, 5],
            [4, 8],
          ],
        })
        return Float32Array.from((made.logits ?? made.lastHiddenState).data())
      }
      const expected = await outputs('f32')
      for (const dtype of ['bf16', 'int8'] as const) {
        const got = await outputs(dtype)
        let [off, size] = [0, 0]
        expected.forEach((value, i) => {
          off += (got[i]! - value) ** 2
          size += value ** 2
        })
        // The same numbers would mean that nothing was packed.
        expect(off, dtype).toBeGreaterThan(0)
        expect(Math.sqrt(off / size), dtype).toBeLessThan(bounds[dtype])
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
