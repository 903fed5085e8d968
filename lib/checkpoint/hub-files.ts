import { HubError } from '../errors.ts'
import type { HubFile } from './hub-listing.ts'

/** What tokenizers, configurations and pipelines read beside the weights. */
export const companionFiles =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|modules|sentence_bert_config|config_sentence_transformers|chat_template)\.json$|^(vocab|merges)\.txt$|^(chat_template\.jinja|\w+\.spm|(tokenizer|spiece|sentencepiece\.bpe)\.model)$|^\d+_\w+\/(config\.json|model\.safetensors)$/

/**
 * The files of a model that are needed, or the one that was asked for by its path. Weights: model.safetensors, else
 * those of model.safetensors.index.json, else the only other file of safetensors or GGUF. Never pickled ones.
 */
export function neededFiles(files: readonly HubFile[], wanted: string | undefined, where: string): HubFile[] {
  if (wanted !== undefined) {
    const file = files.find(({ path }) => path === wanted)
    if (!file) throw new HubError(`${where}: there is no file ${wanted} at this revision`)
    return [file]
  }
  const named = (pattern: RegExp): HubFile[] => files.filter(({ path }) => pattern.test(path))
  return [...named(companionFiles), ...weights(named, where)]
}

function weights(named: (pattern: RegExp) => HubFile[], where: string): HubFile[] {
  const single = named(/^model\.safetensors$/)
  if (single.length) return single
  const index = named(/^model\.safetensors\.index\.json$/)
  if (index.length) return [...index, ...named(/^model-\d+-of-\d+\.safetensors$/)]
  const rest = named(/^[^/]+\.(safetensors|gguf)$/)
  if (rest.length === 1) return rest
  if (rest.length)
    throw new HubError(
      `${where}: holds several models; add the name of one, such as …/${rest[0]!.path}: ${rest
        .map(({ path }) => path)
        .join(', ')
        .slice(0, 500)}`,
    )
  const pickled = named(/\.(bin|pt|pth|ckpt|h5|msgpack)$/)
  throw new HubError(
    pickled.length
      ? `${where}: has no safetensors, only ${pickled[0]!.path}, which is not read as it could run any code; convert it with transformers, save_pretrained(folder, safe_serialization=True)`
      : `${where}: has no weights in safetensors or GGUF`,
  )
}
