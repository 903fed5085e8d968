/**
 * Writes models of every family with random weights, and the logits that they give here, for check-saved.py to compare
 * with what transformers gives: `npx tsx test/reference/save-models.ts <folder>`.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForMaskedLM,
  AutoModelForPreTraining,
  AutoModelForQuestionAnswering,
  AutoModelForSeq2SeqLM,
  AutoModelForSequenceClassification,
  AutoModelForTextEncoding,
  AutoModelForTokenClassification,
  CharTokenizer,
  DecoderModel,
  saveDecoder,
  tensor,
  type DecoderConfig,
} from '../../lib/index.ts'
import type { TextModel } from '../../lib/models/auto.ts'
import { Random } from '../../lib/tensor/random.ts'
import { goldens, makeFolder } from './decoder-goldens.ts'
import { writeReferenceModel } from './weight-values.ts'

const text = 'Ein Mann fährt\nFahrrad – 自転車 🚲.'
const tokenizer = CharTokenizer.train(text)
const size = { vocabSize: tokenizer.vocabSize, hiddenSize: 48, numLayers: 3, numHeads: 6, context: 64 }
const llama: DecoderConfig = {
  ...size,
  norm: 'rms',
  positions: 'rotary',
  gated: true,
  activation: 'silu',
  bias: false,
  intermediateSize: 100,
}
const configs: Readonly<Record<string, DecoderConfig>> = {
  gpt2: size,
  'gpt2-no-bias': { ...size, bias: false },
  'gpt2-untied': { ...size, tieEmbeddings: false, activation: 'geluTanh', intermediateSize: 64, normEpsilon: 1e-6 },
  llama: { ...llama, tieEmbeddings: false },
  'llama-gqa-tied': { ...llama, numKeyValueHeads: 2, headDim: 16, ropeTheta: 5e5 },
}

async function main(folder: string): Promise<void> {
  for (const [name, config] of Object.entries(configs)) {
    const random = new Random(1)
    using model = new DecoderModel(config, { random })
    // Norms and biases that are not 1 and 0, or a mistake there would not be seen.
    for (const parameter of model.parameters().values())
      for (const [i, value] of parameter.data().entries()) parameter.data()[i] = value + 0.1 * random.normal()
    const ids = tokenizer.encode(text)
    using tokens = tensor([[...ids]], { dtype: 'i32' })
    using logits = model.forward({ tokens })
    const target = join(folder, name)
    await saveDecoder(model, target, { config: { bos_token_id: null, eos_token_id: null } })
    await tokenizer.save(target)
    const seen = { text, ids: [...ids], logits: (logits.toArray() as number[][][])[0] }
    await writeFile(join(target, 'expected-by-heedful.json'), JSON.stringify(seen))
  }
}

/** Those of decoder-goldens.ts, read and written. */
async function saveFamilies(folder: string): Promise<void> {
  for (const [name, golden] of Object.entries(goldens.cases)) {
    const source = await makeFolder(golden)
    using model = await AutoModelForCausalLM.fromPretrained(source)
    const ids = goldens.rows[0]!
    using outputs = await model.run({ inputIds: [ids] })
    const target = join(folder, `family-${name}`)
    await model.savePretrained(target)
    const seen = { ids, logits: (outputs.logits!.toArray() as number[][][])[0] }
    await writeFile(join(target, 'expected-by-heedful.json'), JSON.stringify(seen))
    await rm(source, { recursive: true })
  }
}

/** The models of seq2seq.json.gz as they come back from here. */
async function saveSeq2Seq(folder: string): Promise<void> {
  const path = fileURLToPath(new URL('seq2seq.json.gz', import.meta.url))
  const { cases } = JSON.parse(gunzipSync(await readFile(path)).toString()) as {
    cases: {
      name: string
      config: object
      weights: Record<string, number[]>
      inputs: { input_ids: number[][]; attention_mask: number[][]; labels: number[][] }
    }[]
  }
  for (const { name, config, weights, inputs } of cases) {
    const original = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeReferenceModel(original, config, weights)
    using model = await AutoModelForSeq2SeqLM.fromPretrained(original)
    await rm(original, { recursive: true })
    const target = join(folder, name.replace(/\W+/g, '-'))
    await model.savePretrained(target)
    const { input_ids: inputIds, attention_mask: attentionMask, labels } = inputs
    using outputs = await model.run({ inputIds, attentionMask, labels })
    const seen = { inputs, logits: outputs.logits!.toArray() }
    await writeFile(join(target, 'expected-by-heedful.json'), JSON.stringify(seen))
  }
}

/** Encoders of every family and all heads, as they come back from here. */
async function saveHeads(folder: string): Promise<void> {
  const read = async <T>(name: string): Promise<T> => {
    const path = fileURLToPath(new URL(name, import.meta.url))
    return JSON.parse(gunzipSync(await readFile(path)).toString()) as T
  }
  interface Described {
    name: string
    config: { architectures: string[] }
    weights: Record<string, number[]>
    inputs: { input_ids: number[][]; attention_mask: number[][]; token_type_ids?: number[][] }
  }
  const { cases } = await read<{ cases: Described[] }>('encoders.json.gz')
  const { heads } = await read<{ heads: Described[] }>('seq2seq.json.gz')
  const ofDecoders = Object.entries(goldens.cases).flatMap(([name, golden]) =>
    (['classification', 'tokens', 'answers'] as const).flatMap((key): Described[] => {
      const head = golden[key]
      const ids = goldens.rows.slice(0, 1)
      return head
        ? [
            {
              name: `${name} ${key}`,
              config: head.config as Described['config'],
              weights: head.tensors,
              inputs: { input_ids: ids, attention_mask: ids.map((row) => row.map(() => 1)) },
            },
          ]
        : []
    }),
  )
  // transformers opens the names of the published NomicBERT by code of its own only.
  const known = cases.filter(({ name }) => !name.startsWith('nomic'))
  for (const [i, { name, config, weights, inputs }] of [...known, ...heads, ...ofDecoders].entries()) {
    const [architecture] = config.architectures as [string]
    const auto = Object.entries(autoClasses).find(([end]) => architecture.endsWith(end))![1]
    const original = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeReferenceModel(original, config, weights)
    using model = await auto.fromPretrained(original)
    await rm(original, { recursive: true })
    const target = join(folder, `head-${name.replace(/\W+/g, '-')}-${i}`)
    await model.savePretrained(target)
    const { input_ids: inputIds, attention_mask: attentionMask, token_type_ids: tokenTypeIds } = inputs
    using outputs = await model.run({ inputIds, attentionMask, ...(tokenTypeIds && { tokenTypeIds }) })
    const logits = (outputs.logits ?? outputs.lastHiddenState).toArray()
    await writeFile(join(target, 'expected-by-heedful.json'), JSON.stringify({ inputs, architecture, logits }))
  }
}

const autoClasses: Readonly<Record<string, { fromPretrained(folder: string): Promise<TextModel> }>> = {
  EncoderModel: AutoModelForTextEncoding,
  Model: AutoModel,
  ForMaskedLM: AutoModelForMaskedLM,
  ForPreTraining: AutoModelForPreTraining,
  ForSequenceClassification: AutoModelForSequenceClassification,
  ForTokenClassification: AutoModelForTokenClassification,
  ForQuestionAnswering: AutoModelForQuestionAnswering,
}

const folder = process.argv[2]
if (!folder) throw new Error('expected a folder to write in')
void main(folder)
  .then(() => saveSeq2Seq(folder))
  .then(() => saveFamilies(folder))
  .then(() => saveHeads(folder))
