import { copyFile, mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { setImmediate } from 'node:timers/promises'
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import { encodeGguf, type GgufWriteType } from '../checkpoint/gguf-encode.ts'
import { ggufArchitectures, type GgufArchitecture } from '../checkpoint/gguf-architectures.ts'
import type { GgufValue } from '../checkpoint/gguf-metadata.ts'
import { ggufModel, ropeFactors } from '../checkpoint/gguf-model.ts'
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { resolveModel } from '../checkpoint/resolve-model.ts'
import { companionFiles } from '../checkpoint/hub-files.ts'
import { copySafetensors } from '../checkpoint/safetensors.ts'
import { writeGguf, type GgufTensorToWrite } from '../checkpoint/write-gguf.ts'
import { ArgumentError, checkOptions, describe, FileError } from '../errors.ts'
import { writeTextAtomically } from '../files/atomic-file.ts'
import { checkPath, fileError } from '../files/file-error.ts'
import type { OnProgress } from '../files/progress.ts'
import { readJson } from '../files/read-file.ts'
import { ggufVocabulary } from '../text/gguf-vocabulary-of.ts'
import { familyOfFile, readConfig, writeConfig, type Family, type HeadName } from './families/index.ts'
import { fromData, type Tensor } from '../tensor/tensor.ts'
import { llama3Factors, readGgufModel } from './gguf-config.ts'
import type { RopeScaling } from './rope-scaling.ts'
import { laidOut, type Source } from './gguf-source.ts'
import { configFile, weightsFile } from './save-folder.ts'

export const quantizeDTypes = ['bf16', 'int8', 'int4'] as const

export interface QuantizeModelOptions {
  dtype: (typeof quantizeDTypes)[number]
  revision?: string
  /** Stops between two pieces of a few megabytes; nothing is left of the new weights then. */
  signal?: AbortSignal
  onProgress?: OnProgress
  cache?: string
}

export interface QuantizedModel {
  /** The file of weights. */
  readonly path: string
  readonly format: 'safetensors' | 'gguf'
}

type Json = Readonly<Record<string, unknown>>

/**
 * Writes a model with narrower weights into a folder, with the configuration and tokenizer that stood beside it. Opened
 * with `{ dtype: 'auto' }` it has the very numbers that are written here.
 *
 * | dtype | file | weights |
 * | --- | --- | --- |
 * | `bf16` | of the format of the model: model.safetensors with BF16, or a GGUF file with BF16 | all, rounded to nearest even |
 * | `int8` | model.gguf | Q8_0: those of linear layers and the token embedding |
 * | `int4` | model.gguf | Q4_0: those of linear layers; Q8_0: the token embedding |
 *
 * The GGUF file is one that llama.cpp reads (with its tokenizer where that is byte-level BPE as GPT-2's, WordPiece, or from a GGUF
 * file). Quantized blocks with as few bits stay as they are; rows that are no whole blocks of 32 become F16, norms and
 * biases F32. The weights are written as a whole or not at all; memory for a few megabytes is all that it takes.
 *
 * Throws ArgumentError for a model that GGUF files of heedful can not hold (see `ggufModel`), for which bf16 is left;
 * FileError, HubError.
 */
export async function quantizeModel(
  model: string,
  out: string,
  options: QuantizeModelOptions,
): Promise<QuantizedModel> {
  checkPath('quantizeModel', model)
  checkPath('quantizeModel: out', out)
  checkOptions('quantizeModel', options, {
    dtype: 'any',
    revision: 'any',
    signal: 'signal',
    onProgress: 'function',
    cache: 'any',
  })
  const { dtype, signal, onProgress, ...resolving } = options
  if (!quantizeDTypes.includes(dtype))
    throw new ArgumentError(
      `quantizeModel: dtype should be one of ${quantizeDTypes.join(', ')}, got ${describe(dtype)}`,
    )
  const watched = { ...(signal && { signal }), ...(onProgress && { onProgress }) }
  const path = await resolveModel(model, { ...resolving, ...watched })
  await using checkpoint = await openCheckpoint(path, signal ? { signal } : {})
  const isFolder = (await stat(path)).isDirectory()
  const folder = isFolder ? path : dirname(path)
  await mkdir(out, { recursive: true }).catch((cause) => {
    throw fileError('quantizeModel', out, cause)
  })
  if ((await stat(out)).ino === (await stat(folder)).ino)
    throw new ArgumentError(`quantizeModel: ${out}: is the folder of the model itself; give another one`)
  if (checkpoint.format === 'safetensors' && dtype === 'bf16') {
    const config = await readJson(join(folder, configFile), 'quantizeModel')
    await copyCompanions(folder, out)
    const target = join(out, weightsFile)
    await copySafetensors('quantizeModel', target, checkpoint, 'bf16', watched)
    const { torch_dtype: _, ...rest } = config
    await writeTextAtomically(join(out, configFile), `${JSON.stringify({ ...rest, dtype: 'bfloat16' }, null, 2)}\n`)
    return { path: target, format: 'safetensors' }
  }
  const source = checkpoint.format === 'gguf' ? fromGguf(checkpoint) : await fromSafetensors(checkpoint, folder)
  const { metadata, tensors } = source
  const target = join(out, 'model.gguf')
  const typed = { ...metadata, 'general.file_type': fileTypes[dtype], 'general.quantization_version': 2 }
  if (isFolder) await copyCompanions(folder, out)
  await writeGguf(
    'quantizeModel',
    target,
    typed,
    tensors.map((tensor) => quantized(tensor, dtype)),
    watched,
  )
  return { path: target, format: 'gguf' }
}

/** llama.cpp's numbers for what most weights are. */
const fileTypes = { bf16: 32, int8: 7, int4: 2 } as const

function quantized(source: Source, dtype: QuantizeModelOptions['dtype']): GgufTensorToWrite {
  const type = typeFor(source, dtype)
  const { name, shape } = source
  if (type === source.fileType) return { name, shape, type, rows: (begin, end) => source.bytes(begin, end) }
  return {
    name,
    shape,
    type,
    rows: async (begin, end) => {
      const numbers = await source.numbers(begin, end)
      try {
        return encodeGguf(numbers, type as GgufWriteType)
      } catch (cause) {
        throw new FileError(`quantizeModel: tensor ${JSON.stringify(name)}: ${(cause as Error).message}`, { cause })
      } finally {
        await setImmediate()
      }
    },
  }
}

const fewBits: Readonly<Record<QuantizeModelOptions['dtype'], readonly string[]>> = {
  bf16: ['BF16'],
  int8: ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'],
  int4: ['Q4_0'],
}

function typeFor({ name, shape, fileType }: Source, dtype: QuantizeModelOptions['dtype']): string {
  const isEmbedding = name.startsWith('token_embd.')
  const isProduct = shape.length === 2 && /^(blk\.\d+\.(attn|ffn)_\w+|output)\.weight$/.test(name)
  if (!isEmbedding && !isProduct) return 'F32'
  if (fewBits[dtype].includes(fileType)) return fileType
  if (dtype === 'bf16') return 'BF16'
  if (isEmbedding && fewBits.int8.includes(fileType)) return fileType
  if (shape[1]! % 32) return 'F16'
  return dtype === 'int4' && !isEmbedding ? 'Q4_0' : 'Q8_0'
}

interface Sources {
  readonly metadata: Readonly<Record<string, GgufValue>>
  readonly tensors: readonly Source[]
}

function fromGguf(checkpoint: Checkpoint): Sources {
  ggufModel(checkpoint) // refuses what heedful would not open again
  return {
    metadata: checkpoint.metadata as Readonly<Record<string, GgufValue>>,
    tensors: [...checkpoint.tensors].map(([name, { shape, fileType }]) => ({
      name,
      shape,
      fileType,
      numbers: async (begin, end) => {
        using tensor = await checkpoint.read(name, { rows: [begin, end] })
        return Float32Array.from(tensor.data())
      },
      bytes: (begin, end) => checkpoint.readBytes(name, { rows: [begin, end] }),
    })),
  }
}

async function fromSafetensors(checkpoint: Checkpoint, folder: string): Promise<Sources> {
  const where = `quantizeModel: ${join(folder, configFile)}`
  const json = await readJson(join(folder, configFile), 'quantizeModel')
  const { family, head } = familyOfFile(json, where)
  const config = readConfig(family, json, where)
  const [name, architecture] = architectureOf(family.modelType) ?? []
  const refuse = (why: string): ArgumentError =>
    new ArgumentError(`${where}: ${why}; GGUF files can not hold this model, take dtype bf16`)
  if (!name || !architecture)
    throw refuse(`model_type ${family.modelType} has no architecture of GGUF that is known here`)
  const full = writeConfig(family, config, head ?? 'none')
  const { headDim } = config as { headDim: number }
  const tensors = tensorsFor(checkpoint, architecture, family, head ?? 'none', headDim)
  if (typeof tensors === 'string') throw refuse(tensors)
  const metadata = { ...metadataFor(name, architecture, full, json), ...(await vocabularyOf(folder)) }
  // What the file says has to be the same model.
  const factors = ropeFactorsOf(config as { ropeTheta?: number; ropeDim?: number; ropeScaling?: RopeScaling })
  const all = factors ? [...tensors, factors] : tensors
  const said = await readGgufModel(toldOf(metadata, all, folder))
  const read = readConfig(familyOfFile(said.config, where).family, said.config, where) as Json
  // Dropout is for training, which quantized weights don't do.
  const differing = Object.keys(config).filter(
    (key) => key !== 'dropout' && !isDeepStrictEqual(read[key], (config as Json)[key]),
  )
  if (differing.length) throw refuse(`${differing.join(', ')} of this model have no key there`)
  return { metadata, tensors: all }
}

/** The name of what holds models of this type, and what it is. */
const architectureOf = (modelType: string): [string, GgufArchitecture] | undefined =>
  Object.entries(ggufArchitectures).find(
    ([, { constants, alsoOf = [] }]) => constants['model_type'] === modelType || alsoOf.includes(modelType),
  )

/** The tensor of what rotary frequencies are divided by, where llama.cpp has one. */
function ropeFactorsOf(config: {
  ropeTheta?: number
  ropeDim?: number
  ropeScaling?: RopeScaling
}): Source | undefined {
  const { ropeTheta, ropeDim, ropeScaling } = config
  if (ropeScaling?.type !== 'llama3') return undefined
  const factors = Float32Array.from(llama3Factors(ropeTheta!, ropeDim! / 2, ropeScaling))
  const numbers = async (begin: number, end: number): Promise<Float32Array> => factors.subarray(begin, end)
  return {
    name: ropeFactors,
    shape: [factors.length],
    fileType: 'F32',
    numbers,
    bytes: async (begin, end) => encodeGguf(await numbers(begin, end), 'F32'),
  }
}

function metadataFor(name: string, architecture: GgufArchitecture, full: Json, json: Json): Record<string, GgufValue> {
  const metadata: Record<string, GgufValue> = {
    'general.architecture': name,
    'general.name': String(json['_name_or_path'] ?? name),
  }
  for (const [key, from] of Object.entries(architecture.config)) {
    const value = full[key]
    if (typeof value === 'number') metadata[`${name}.${from.replace('?', '')}`] = value
  }
  for (const [key, value] of Object.entries(architecture.written?.(full) ?? {})) metadata[`${name}.${key}`] = value
  // Where llama.cpp has no vocabulary to count.
  metadata[`${name}.vocab_size`] = Number(full['vocab_size'])
  for (const [key, value] of Object.entries({ bos: 'bos', eos: 'eos', pad: 'padding' })) {
    const id = json[`${key}_token_id`]
    if (Number.isInteger(id)) metadata[`tokenizer.ggml.${value}_token_id`] = id as number
  }
  return metadata
}

/** Without it llama.cpp can count, but not read. */
async function vocabularyOf(folder: string): Promise<Record<string, GgufValue>> {
  const names = new Set(await readdir(folder))
  if (!names.has('tokenizer.json')) return { 'tokenizer.ggml.model': 'none' }
  const tokenizer = await readJson(join(folder, 'tokenizer.json'), 'quantizeModel')
  const config = names.has('tokenizer_config.json') ? await readJson(join(folder, 'tokenizer_config.json')) : {}
  return ggufVocabulary(tokenizer, config) ?? { 'tokenizer.ggml.model': 'none' }
}

/** The tensors by GGUF's names and layouts, or what hinders. */
function tensorsFor(
  checkpoint: Checkpoint,
  { names, transposed, interleaved, offset = [], byPart = [] }: GgufArchitecture,
  { prefix, ignored = [], heads = {} }: Family,
  head: HeadName,
  headDim: number,
): Source[] | string {
  // A bare model has no use for what others left in its files.
  const ofHeads = head === 'none' ? Object.values(heads).flatMap((one) => Object.keys(one.weights)) : []
  const left = new Set([...ignored, ...ofHeads].map((name) => name.replace(prefix, '')))
  const found: Source[] = []
  for (const [name, told] of checkpoint.tensors) {
    const [, stem, suffix] = /^(.*)(\.weight|\.bias)$/.exec(name) ?? []
    const layer = /\.(\d+)\./.exec(name)?.[1]
    const pattern = stem?.replace(/\.\d+\./, '.#.')
    // Files may have names without the prefix, and GGUF's table has some without.
    const spellings = pattern === undefined ? [] : [pattern, prefix + pattern, pattern.replace(prefix, '')]
    const theirs = spellings.map((one) => (Object.hasOwn(names, one) ? names[one] : undefined)).find(Boolean)
    if (theirs === undefined) {
      if (left.has(name.replace(prefix, '').replace(/\.\d+\./g, '.#.'))) continue
      return `tensor ${JSON.stringify(name)} has no name there`
    }
    const isWeight = suffix === '.weight'
    found.push(
      laidOut(checkpoint, name, told, theirs.replace('#', layer ?? '#') + suffix!, {
        transposed: isWeight && transposed.includes(theirs),
        headDim: interleaved.includes(theirs) || byPart.includes(theirs) ? headDim : 0,
        byPart: byPart.includes(theirs),
        offset: offset.includes(theirs) ? 1 : 0,
      }),
    )
  }
  // llama.cpp expects the order of layers only.
  return found
}

/** What `ggufModel` reads of a checkpoint that is not written yet. */
function toldOf(metadata: Record<string, GgufValue>, tensors: readonly Source[], path: string): Checkpoint {
  const told = new Map(
    tensors.map(({ name, shape }) => [name, { shape, fileType: 'F32', dtype: 'f32', byteLength: 0 }]),
  )
  const read = async (name: string): Promise<Tensor> => {
    const source = tensors.find((one) => one.name === name)!
    return fromData(await source.numbers(0, source.shape[0]!), { shape: source.shape })
  }
  return { format: 'gguf', path, metadata: rounded(metadata), tensors: told, read } as Partial<Checkpoint> as Checkpoint
}

/** As f32, which the file has. */
const rounded = (metadata: Record<string, GgufValue>): Record<string, GgufValue> =>
  Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, typeof value === 'number' ? Math.fround(value) : value]),
  )

/** Configuration and tokenizer. */
async function copyCompanions(from: string, to: string): Promise<void> {
  for (const name of await readdir(from, { recursive: true })) {
    if (!companionFiles.test(name) || name.endsWith('.safetensors')) continue
    await mkdir(dirname(join(to, name)), { recursive: true })
    await copyFile(join(from, name), join(to, name)).catch((cause) => {
      throw fileError('quantizeModel', join(to, name), cause)
    })
  }
}
