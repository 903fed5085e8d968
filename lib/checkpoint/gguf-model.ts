import { ArgumentError, describe, FileError } from '../errors.ts'
import { isObject } from '../files/read-file.ts'
import type { Checkpoint } from './checkpoint.ts'
import { ggufArchitectures, type GgufArchitecture } from './gguf-architectures.ts'

/** Where transformers' tensor lies in a GGUF file, and how it is laid out there. */
export interface GgufTensorName {
  /** In the file. */
  readonly name: string
  /** Transposed against transformers. */
  readonly transposed: boolean
  /** Rows 2i + j of each head where transformers has j · head_dim / 2 + i: rotary embeddings of neighbours. */
  readonly interleaved: boolean
  /** 1 more than in transformers. */
  readonly offset?: true
  /** All queries first, where transformers has the query, the key and the value of a head side by side. */
  readonly byPart?: true
}

export interface GgufModel {
  /** What config.json of the same model says. */
  readonly config: Record<string, unknown>
  /** By the name that transformers gives. */
  readonly names: ReadonlyMap<string, GgufTensorName>
}

/**
 * A GGUF file in the words of Hugging Face's transformers: config.json and names of tensors, for the architectures llama
 * (and Mistral), qwen2, qwen3, gemma2, gemma3, phi3, olmo2, gptneox, gpt2 and bert. No tensor is read: where factors of rotary
 * positions are a tensor (Llama 3.1), the `rope_type` of `rope_scaling` is its name.
 *
 * Throws FileError for an architecture or a tensor that is not known, and for a key that is known to change what the model
 * computes (scaled rotary embeddings, experts, …); other keys are taken no notice of.
 */
export function ggufModel(checkpoint: Checkpoint): GgufModel {
  if (!isObject(checkpoint) || checkpoint.format !== 'gguf')
    throw new ArgumentError(`ggufModel: expected an open checkpoint of a GGUF file, got ${describe(checkpoint)}`)
  const where = `ggufModel: ${checkpoint.path}`
  const name = checkpoint.metadata['general.architecture']
  if (typeof name !== 'string' || !Object.hasOwn(ggufArchitectures, name))
    throw new FileError(
      `${where}: architecture ${describe(name)} is not known; known: ${Object.keys(ggufArchitectures).join(', ')}`,
    )
  const architecture = ggufArchitectures[name]!
  return {
    config: readConfig(checkpoint, name, architecture, where),
    names: readNames(checkpoint, architecture, where),
  }
}

function readConfig(
  { metadata, tensors }: Checkpoint,
  name: string,
  { constants, config: keys, sizes, refused, derived }: GgufArchitecture,
  where: string,
): Record<string, unknown> {
  for (const [key, harmless] of Object.entries(refused)) {
    const value = metadata[`${name}.${key}`]
    if (value !== undefined && !harmless.includes(value))
      throw new FileError(`${where}: ${name}.${key} = ${describe(value)} is not supported`)
  }
  const config: Record<string, unknown> = { ...constants }
  for (const [key, from] of Object.entries(keys)) {
    const optional = from.endsWith('?')
    const full = `${name}.${optional ? from.slice(0, -1) : from}`
    const value = metadata[full]
    if (value === undefined && optional) continue
    if (typeof value !== 'number') throw new FileError(`${where}: ${full} should be a number, got ${describe(value)}`)
    config[key] = shortest(value)
  }
  for (const [key, [tensor, dimension]] of Object.entries(sizes)) {
    const size = tensors.get(tensor)?.shape[dimension]
    if (size === undefined) throw new FileError(`${where}: tensor ${tensor} is missing, or has too low a rank`)
    config[key] = size
  }
  const special = { bos_token_id: 'bos', eos_token_id: 'eos', pad_token_id: 'padding' }
  for (const [key, token] of Object.entries(special)) {
    const id = metadata[`tokenizer.ggml.${token}_token_id`]
    if (typeof id === 'number') config[key] = id
  }
  Object.assign(
    config,
    derived?.((key) => told(metadata[`${name}.${key}`]), config),
  )
  if (tensors.has(ropeFactors)) config['rope_scaling'] = { rope_type: ropeFactors }
  if (name !== 'bert') config['tie_word_embeddings'] = !tensors.has('output.weight')
  return config
}

const told = (value: unknown): unknown => (typeof value === 'number' ? shortest(value) : value)

/** f32 [head_dim / 2]: what frequencies of rotary positions are divided by. */
export const ropeFactors = 'rope_freqs.weight'

/** The shortest decimal that is the same f32: 1e-5 where the file says 9.999999747378752e-6. */
export function shortest(value: number): number {
  if (Number.isInteger(value) || Math.fround(value) !== value) return value
  for (let digits = 1; digits < 10; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === value) return candidate
  }
  return value
}

function readNames(
  { tensors }: Checkpoint,
  { names, transposed, interleaved, offset = [], byPart = [] }: GgufArchitecture,
  where: string,
): Map<string, GgufTensorName> {
  const known = new Map(Object.entries(names).map(([theirs, ours]) => [ours, theirs]))
  const found = new Map<string, GgufTensorName>()
  for (const name of tensors.keys()) {
    if (name === ropeFactors) continue
    const [, stem, suffix] = /^(.*)(\.weight|\.bias)$/.exec(name) ?? []
    const layer = /^blk\.(0|[1-9]\d*)\./.exec(stem ?? '')?.[1]
    const pattern = layer === undefined ? stem : stem!.replace(/^blk\.\d+\./, 'blk.#.')
    const theirs = pattern === undefined ? undefined : known.get(pattern)
    if (theirs === undefined) throw new FileError(`${where}: tensor ${JSON.stringify(name)} is not known`)
    found.set(theirs.replace('#', layer ?? '#') + suffix!, {
      name,
      transposed: suffix === '.weight' && transposed.includes(pattern!),
      interleaved: interleaved.includes(pattern!),
      ...(offset.includes(pattern!) && { offset: true }),
      ...(byPart.includes(pattern!) && { byPart: true }),
    })
  }
  return found
}
