import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ArgumentError, FileError, HeedfulError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import { readJson } from '../files/read-file.ts'
import { readSafetensors, writeSafetensors } from '../checkpoint/safetensors.ts'
import { concat, slice, transpose } from '../ops/index.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { Random } from '../tensor/random.ts'
import { tensor } from '../tensor/create.ts'
import type { Parameter, Tensor } from '../tensor/tensor.ts'
import { DecoderModel, resolveDecoderConfig, type ResolvedDecoderConfig } from './decoder-model.ts'
import type { DecoderFamily, WeightName } from './families/family.ts'
import { familyFor, familyOf } from './families/index.ts'

const configFile = 'config.json'
const weightsFile = 'model.safetensors'

/**
 * A decoder from a folder in Hugging Face's layout: config.json and model.safetensors. Throws FileError, naming the file,
 * for what is missing, damaged or does not fit together, and ArgumentError for what is not supported.
 */
export async function loadDecoder(folder: string, options: { signal?: AbortSignal } = {}): Promise<DecoderModel> {
  checkPath('loadDecoder', folder)
  const configPath = join(folder, configFile)
  const json = await readJson(configPath, 'loadDecoder')
  const { family, config } = within(`loadDecoder: ${configPath}`, () => {
    const found = familyOf(json)
    return { family: found, config: resolveDecoderConfig(found.fromHuggingFace(json)) }
  })
  const path = join(folder, weightsFile)
  const { tensors } = await readSafetensors(path, options)
  try {
    checkSize(path, config, tensors)
    // The first values are overwritten, so where they come from does not matter.
    const model = new DecoderModel(config, { random: new Random(0) })
    try {
      fillFrom(path, model, family, tensors)
    } catch (error) {
      model.dispose()
      throw error
    }
    return model
  } finally {
    for (const value of tensors.values()) value.dispose()
  }
}

function within<T>(where: string, body: () => T): T {
  try {
    return body()
  } catch (cause) {
    if (cause instanceof HeedfulError) throw new ArgumentError(`${where}: ${cause.message}`, { cause })
    throw cause
  }
}

/** Sizes that the weights can't bear out are told before memory is taken for them. */
function checkSize(path: string, config: ResolvedDecoderConfig, tensors: ReadonlyMap<string, Tensor>): void {
  let elements = 0
  for (const { size } of tensors.values()) elements += size
  const { hiddenSize, vocabSize, intermediateSize, numHeads, headDim, numLayers, context, positions } = config
  const widest =
    hiddenSize * Math.max(vocabSize, intermediateSize, numHeads * headDim, positions === 'learned' ? context : 0)
  if (numLayers > tensors.size || widest > elements)
    throw new FileError(
      `loadDecoder: ${path}: the config asks for ${numLayers} layers and a matrix of ${widest} numbers, the file holds ${tensors.size} tensors of ${elements} numbers in all; config.json and the weights don't belong together`,
    )
}

function fillFrom(
  path: string,
  model: DecoderModel,
  family: DecoderFamily,
  tensors: ReadonlyMap<string, Tensor>,
): void {
  const parameters = model.parameters()
  const unused = new Set(tensors.keys())
  for (const weight of family.weightNames(model.config)) {
    const short =
      family.optionalPrefix && weight.name.startsWith(family.optionalPrefix)
        ? weight.name.slice(family.optionalPrefix.length)
        : weight.name
    const name = tensors.has(weight.name) ? weight.name : short
    unused.delete(name)
    const parameter = parameters.get(weight.path)
    if (!parameter) continue
    const value = tensors.get(name)
    if (!value) throw new FileError(`loadDecoder: ${path}: the tensor ${weight.name} is missing`)
    copyWeight(path, weight, parameter, value)
  }
  const harmless = /(^|\.)(attn\.(masked_)?bias|rotary_emb\.inv_freq)$|^lm_head\.weight$/
  const strange = [...unused].filter((name) => !harmless.test(name))
  if (strange.length)
    throw new FileError(`loadDecoder: ${path}: unknown tensor ${strange[0]}; the model would not use it`)
}

function copyWeight(path: string, weight: WeightName, parameter: Parameter, value: Tensor): void {
  const [first, end] = weight.rows ?? [0, parameter.shape[0]!]
  const shape = [end - first, ...parameter.shape.slice(1)]
  const expected = weight.transpose ? [...shape].reverse() : shape
  if (!sameShape(value.shape, expected))
    throw new FileError(
      `loadDecoder: ${path}: ${weight.name} should have shape ${formatShape(expected)}, got ${formatShape(value.shape)}`,
    )
  const offset = first * (parameter.size / parameter.shape[0]!)
  if (!weight.transpose) {
    parameter.data().set(value.data(), offset)
    return
  }
  using turned = transpose(value)
  parameter.data().set(turned.data(), offset)
}

/**
 * Tensors by field path (parameters, or their gradients) as the tensors of a checkpoint, by its names. The caller
 * disposes what it gets.
 */
export function toCheckpointNames(model: DecoderModel, byPath: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const named = new Map<string, Tensor>()
  for (const { name, path, transpose: turn, rows } of familyFor(model.config).weightNames(model.config)) {
    const whole = byPath.get(path)
    if (!whole) continue
    const part = rows ? slice(whole, 0, ...rows) : concat([whole])
    if (turn) {
      named.set(name, transpose(part))
      part.dispose()
    } else named.set(name, part)
  }
  return named
}

/**
 * Writes config.json and model.safetensors in Hugging Face's layout, each atomically; `transformers` opens the folder,
 * and `loadDecoder` gives the same bits.
 */
export async function saveDecoder(
  model: DecoderModel,
  folder: string,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  checkPath('saveDecoder', folder)
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw fileError('saveDecoder', folder, cause)
  })
  const family = representable(model.config)
  const tensors = toCheckpointNames(model, model.parameters())
  try {
    if (!model.config.bias) addZeroBiases(model, family, tensors)
    await writeSafetensors(join(folder, weightsFile), tensors, { format: 'pt' }, options)
  } finally {
    for (const value of tensors.values()) value.dispose()
  }
  const config = {
    architectures: [family.architecture],
    model_type: family.modelType,
    ...family.toHuggingFace(model.config),
    dtype: 'float32',
  }
  await writeTextAtomically(join(folder, configFile), `${JSON.stringify(config, null, 2)}\n`, 'saveDecoder')
}

/** The family whose files say all of a config; ArgumentError for a mixture that none of them knows. */
function representable(config: ResolvedDecoderConfig): DecoderFamily {
  const family = familyFor(config)
  const back = resolveDecoderConfig(family.fromHuggingFace(family.toHuggingFace(config)))
  for (const [name, value] of Object.entries(config))
    if (back[name as keyof ResolvedDecoderConfig] !== value)
      throw new ArgumentError(
        `saveDecoder: the files of ${family.modelType} can't say ${name} ${String(value)}; save stateDict() with writeSafetensors instead`,
      )
  return family
}

/** A bias that a family's files have and the model has not is zero. */
function addZeroBiases(model: DecoderModel, family: DecoderFamily, tensors: Map<string, Tensor>): void {
  const parameters = model.parameters()
  for (const { name, path } of family.weightNames(model.config))
    if (!tensors.has(name))
      tensors.set(name, tensor.zeros([parameters.get(path.replace(/bias$/, 'weight'))!.shape[0]!]))
}
