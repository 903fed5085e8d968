import { ArgumentError, checkOptions, ShapeError } from '../errors.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DecoderForTask } from './decoder-for-task.ts'
import { checkModel, decoder, DecoderModel, type DecoderConfig } from './decoder-model.ts'
import { EncoderDecoderForTask } from './encoder-decoder-for-task.ts'
import type { EncoderDecoderConfig } from './encoder-decoder-config.ts'
import { encoderDecoder, EncoderDecoderModel } from './encoder-decoder-model.ts'
import { EncoderDecoderWithHead } from './encoder-decoder-with-head.ts'
import { EncoderForTask } from './encoder-for-task.ts'
import { EncoderOfSeq2Seq } from './encoder-of-seq2seq.ts'
import { encoder, type EncoderModel } from './encoder-model.ts'
import { familyOfConfig, nameOf, weightEntries, weightNames, type Family, type HeadName } from './families/index.ts'
import { Head } from './heads.ts'
import { labelsOf } from './labels.ts'
import { loadModel, loadOptions, type LoadOptions, type Made } from './load-model.ts'
import { saveFolder, type SaveOptions } from './save-folder.ts'

/**
 * Opens a GPT-2, a Llama or a relative as a model that generates and trains: a folder of Hugging Face's transformers
 * (config.json with model.safetensors, or with its parts and their index), a GGUF file, or an id of the Hub
 * (`resolveModel` tells of both ids and options). Narrower and quantized weights become f32; f32 ones are taken as
 * they were read, without a copy.
 *
 * Throws ArgumentError for what is not supported, FileError and ShapeError for files that are missing, damaged or don't
 * belong together, HubError; each names the file and the key or tensor.
 */
export async function loadDecoder(model: string, options: LoadOptions = {}): Promise<DecoderModel> {
  checkOptions('loadDecoder', options, loadOptions)
  return loadModel('loadDecoder', model, options, (family, config) => {
    if (family.assembly !== decoder)
      throw new ArgumentError(`loadDecoder: ${model}: ${family.modelType} is no decoder; open it with AutoModel…`)
    const made: DecoderModel = family.assembly.make(config, { random: 'zeros' })
    return { model: made, entries: weightEntries(family, made) }
  })
}

/** What a decoder is opened as: what a language model can do is known further up. */
type DecoderClass<M extends DecoderForTask> = new (...args: ConstructorParameters<typeof DecoderForTask>) => M

/** Encoders and decoders: what they share is the same for both. */
export type TextModel = EncoderForTask | DecoderForTask | EncoderDecoderWithHead | EncoderOfSeq2Seq

/** Opens an encoder or a decoder, as loadDecoder does, for a task; undefined: the one that config.json tells. */
export async function loadForTask(
  operation: string,
  folder: string,
  task: HeadName | undefined,
  options: LoadOptions,
): Promise<TextModel | EncoderDecoderForTask>
export async function loadForTask<M extends DecoderForTask>(
  operation: string,
  folder: string,
  task: 'causal-lm',
  options: LoadOptions,
  as: DecoderClass<M>,
): Promise<M>
export async function loadForTask(
  operation: string,
  folder: string,
  task: HeadName | undefined,
  options: LoadOptions,
  as: DecoderClass<DecoderForTask> = DecoderForTask,
): Promise<TextModel | EncoderDecoderForTask> {
  checkOptions(operation, options, loadOptions)
  return loadModel(
    operation,
    folder,
    options,
    (family, config, json, told): Made<TextModel | EncoderDecoderForTask> => {
      const isSeq2Seq = family.assembly === encoderDecoder
      // A file of the encoder alone has no more to be opened.
      const asked = isSeq2Seq || task !== 'encoder' ? task : 'none'
      const name = asked === 'none' && isSeq2Seq && told === 'encoder' ? told : (asked ?? told ?? 'none')
      const head = family.heads?.[name]
      const heads = new Set(Object.values(family.architectures))
      if (!heads.has(name))
        throw new ArgumentError(
          `${operation}: ${folder}: ${family.modelType} has no head for ${name}; it has ${[...heads].map((one) => (one === 'none' ? 'none (AutoModel)' : one)).join(', ')}`,
        )
      const where = `${operation}: ${folder}`
      const labels = head?.kind.output === 'labels' ? labelsOf(json, where) : []
      const isLanguageModel = name === 'causal-lm'
      if (isSeq2Seq && (name === 'encoder' || head?.encoderOnly)) {
        const body = new EncoderDecoderModel(config as EncoderDecoderConfig, { random: 'zeros', decoder: false })
        const top = head && new Head(head.kind, body, labels.length)
        const model = new EncoderOfSeq2Seq(family, name, body, top, labels).keepConfig(json)
        const own = new Set(weightEntries(family, body).map(({ path }) => path.split('.')[0]))
        const others = Object.entries(weightNames(family, config)).filter(([, path]) => !own.has(path.split('.')[0]))
        return { model, entries: model.entries(), ignored: others.map(([inFile]) => inFile.replace(/\.\d+\./g, '.#.')) }
      }
      if (isSeq2Seq) {
        if (!head) return makeSeq2Seq(family, config, json, 'none', EncoderDecoderForTask)
        const body = new EncoderDecoderModel(config as EncoderDecoderConfig, { random: 'zeros', logits: false })
        const top = new Head(head.kind, body, labels.length)
        const model = new EncoderDecoderWithHead(family, name, body, top, labels, json).keepConfig(json)
        return { model, entries: model.entries(), ignored: ofLogits }
      }
      if (family.assembly === decoder) {
        const body = new DecoderModel(config as DecoderConfig, { random: 'zeros', head: isLanguageModel })
        const top = head && new Head(head.kind, body, labels.length)
        const model = new as(family, name, body, top, labels, json).keepConfig(json)
        const names = Object.entries(weightNames(family, config))
        const projection = names.filter(([, path]) => path.startsWith('head.')).map(([name]) => name)
        return { model, entries: model.entries(), ignored: isLanguageModel ? [] : projection }
      }
      if (family.assembly !== encoder)
        throw new ArgumentError(`${where}: ${family.modelType} is neither an encoder nor a decoder`)
      const body: EncoderModel = family.assembly.make(config, { random: 'zeros' })
      const top = head && new Head(head.kind, body, labels.length)
      const model = new EncoderForTask(family, name, body, top, labels).keepConfig(json)
      return { model, entries: model.entries() }
    },
  )
}

/** What an encoder-decoder model is opened as, as for decoders. */
type Seq2SeqClass<M extends EncoderDecoderForTask> = new (
  ...args: ConstructorParameters<typeof EncoderDecoderForTask>
) => M

/** Opens a T5, a BART or a relative, as loadDecoder its kin: bare, or to say a target. */
export async function loadSeq2Seq<M extends EncoderDecoderForTask>(
  operation: string,
  folder: string,
  task: 'none' | 'seq2seq-lm',
  options: LoadOptions,
  as: Seq2SeqClass<M>,
): Promise<M> {
  checkOptions(operation, options, loadOptions)
  return loadModel(operation, folder, options, (family, config, json) => {
    if (family.assembly !== encoderDecoder)
      throw new ArgumentError(`${operation}: ${folder}: ${family.modelType} is no encoder-decoder model`)
    return makeSeq2Seq(family, config, json, task, as)
  })
}

const ofLogits = ['lm_head.weight', 'final_logits_bias']

/** What makes logits is left out of a bare model, and not looked at where a file has it. */
function makeSeq2Seq<M extends EncoderDecoderForTask>(
  family: Family,
  config: object,
  json: Readonly<Record<string, unknown>>,
  task: 'none' | 'seq2seq-lm',
  as: Seq2SeqClass<M>,
): Made<M> {
  const isBare = task === 'none'
  const body = new EncoderDecoderModel(config as EncoderDecoderConfig, { random: 'zeros', logits: !isBare })
  const model = new as(family, task, body, json)
  return { model, entries: model.entries(), ignored: isBare ? ofLogits : [] }
}

/**
 * Writes a decoder as a model folder, as GPT-2 or Llama, whichever holds the model. A GPT without biases is written
 * with biases of zero and `heedful_bias: false`.
 *
 * Throws ArgumentError for a model that no family holds, FileError when a file can't be written.
 */
export async function saveDecoder(model: DecoderModel, folder: string, options: SaveOptions = {}): Promise<void> {
  checkModel('saveDecoder', model)
  checkOptions('saveDecoder', options, { config: 'any', signal: 'signal' })
  const { family, json } = familyOfConfig('saveDecoder', decoder, model.config, 'causal-lm')
  await saveFolder('saveDecoder', folder, weightEntries(family, model), json, options)
}

/**
 * Tensors by field path, such as parameters or their gradients, under the names that a checkpoint of this model has.
 * The result belongs to the caller, but shares memory with what was given: a change of one is a change of the other.
 *
 * Throws ArgumentError for a path that the model doesn't have and a model that no family holds, ShapeError for a tensor
 * that is not of its parameter's shape.
 */
export function toCheckpointNames(
  model: DecoderModel,
  tensorsByPath: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  const operation = 'toCheckpointNames'
  const { family } = familyOfConfig(operation, decoder, model.config, 'causal-lm')
  const entries = weightEntries(family, model)
  const byPath = new Map(entries.map((entry) => [entry.path, entry]))
  const named = new Map<string, Tensor>()
  for (const [path, tensor] of tensorsByPath) {
    const entry = byPath.get(path)
    if (!entry) throw new ArgumentError(`${operation}: this model has no parameter ${path}`)
    const { shape } = entry.parameter ?? entry
    if (!sameShape(tensor.shape, shape))
      throw new ShapeError(
        `${operation}: ${path} should have shape ${formatShape(shape)}, got ${formatShape(tensor.shape)}`,
      )
  }
  for (const entry of entries) {
    const [name, tensor] = [nameOf(entry), tensorsByPath.get(entry.path)]
    if (tensor && !named.has(name)) named.set(name, new Tensor(tensor.shape, tensor.dtype, tensor.memory(operation)))
  }
  return named
}
