import { openCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { resolveModel, type ResolveModelOptions } from '../checkpoint/resolve-model.ts'
import { checkPath } from '../files/file-error.ts'
import { tokenizerFromGguf } from '../text/gguf-vocabulary.ts'
import { loadTokenizer } from '../text/load-tokenizer.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** The tokenizer of a model, by the names that users of `transformers` know. */
export const AutoTokenizer = {
  /**
   * `model`: a folder (see `loadTokenizer`), a `.gguf` file (see `tokenizerFromGguf`), or an id of the Hugging Face Hub
   * (see `resolveModel`, which takes the options). Throws FileError and HubError.
   */
  async fromPretrained(model: string, options: ResolveModelOptions = {}): Promise<Tokenizer> {
    const path = await resolveModel(checkPath('AutoTokenizer.fromPretrained', model), options)
    if (!path.toLowerCase().endsWith('.gguf')) return loadTokenizer(path)
    await using checkpoint = await openCheckpoint(path, options.signal ? { signal: options.signal } : {})
    return tokenizerFromGguf(checkpoint.metadata)
  },
}
