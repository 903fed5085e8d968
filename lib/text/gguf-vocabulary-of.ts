import { isObject } from '../files/read-file.ts'

type Json = Readonly<Record<string, unknown>>
/** What a key of a GGUF file can hold. */
type MetadataValue = string | number | readonly string[] | Int32Array

/**
 * A tokenizer.json in the words of llama.cpp (`tokenizer.ggml.*`): byte-level BPE that splits as GPT-2 does, and
 * WordPiece. undefined for other kinds, which llama.cpp has no name for or which lack what it needs.
 */
export function ggufVocabulary(tokenizer: Json, config: Json): Record<string, MetadataValue> | undefined {
  const { model, pre_tokenizer: splitting, added_tokens: added = [] } = tokenizer
  if (!isObject(model) || !isObject(model['vocab']) || !Array.isArray(added)) return undefined
  const special = (added as Json[]).filter(({ special }) => special === true).map(({ content }) => String(content))
  const ids = { ...(model['vocab'] as Record<string, number>) }
  for (const { content, id } of added as Json[]) ids[String(content)] = Number(id)
  const tokens: string[] = []
  for (const [token, id] of Object.entries(ids)) tokens[id] = token
  // Without gaps: ids are places in a list.
  if (tokens.length !== Object.keys(ids).length || Object.keys(tokens).length !== tokens.length) return undefined
  const isSpecial = new Set(special)
  const types = Int32Array.from(tokens, (token) => (isSpecial.has(token) ? 3 : 1))
  const named = namedIds(ids, config)
  if (model['type'] === 'BPE' && isGpt2Splitting(splitting)) {
    const merges = (model['merges'] as readonly (string | readonly string[])[]).map((merge) =>
      typeof merge === 'string' ? merge : merge.join(' '),
    )
    return prefixed({ model: 'gpt2', pre: 'gpt-2', tokens, token_type: types, merges, ...named })
  }
  if (model['type'] === 'WordPiece' && model['continuing_subword_prefix'] === '##') {
    const spelled = tokens.map((token) =>
      isSpecial.has(token) ? token : token.startsWith('##') ? token.slice(2) : `\u2581${token}`,
    )
    return prefixed({ model: 'bert', tokens: spelled, token_type: types, ...named })
  }
  return undefined
}

const prefixed = (keys: Record<string, MetadataValue>): Record<string, MetadataValue> =>
  Object.fromEntries(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value]))

const isGpt2Splitting = (splitting: unknown): boolean =>
  isObject(splitting) && splitting['type'] === 'ByteLevel' && splitting['use_regex'] !== false

/** Special tokens of tokenizer_config.json by llama.cpp's names. */
function namedIds(ids: Readonly<Record<string, number>>, config: Json): Record<string, number> {
  const names = { bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding', cls: 'cls', sep: 'seperator', mask: 'mask' }
  const found: Record<string, number> = {}
  for (const [name, theirs] of Object.entries(names)) {
    const value = config[`${name}_token`]
    const id = ids[String(isObject(value) ? (value as Json)['content'] : value)]
    if (id !== undefined) found[`${theirs}_token_id`] = id
  }
  return found
}
