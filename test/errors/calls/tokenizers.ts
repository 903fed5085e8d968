import { arrayOf, but, fn, instance, integer, oneOf, options, path, signal, text } from '../kinds.ts'
import { folder, trusted, type Call } from './call.ts'

const onProgress = fn(() => () => {})

export const tokenizers: Readonly<Record<string, Call>> = {
  trainTokenizer: {
    args: [
      oneOf('bpe', 'wordpiece'),
      but(
        instance(() => ['a']),
        'array',
      ),
      options(
        { vocabSize: integer(1, 2 ** 24, 300) },
        {
          specialTokens: but(arrayOf(text), 'array', '[]'),
          minFrequency: integer(0, Number.MAX_SAFE_INTEGER),
          preTokenizer: oneOf('gpt2', 'llama3', 'qwen2'),
          lowercase: trusted(undefined),
          signal,
          onProgress: fn(() => () => {}),
        },
      ),
    ],
  },
  'AutoTokenizer.fromPretrained': {
    args: [path(folder), options({}, { revision: path(() => 'main'), signal, onProgress, cache: path(folder) })],
    named: /^(AutoTokenizer\.fromPretrained|resolveModel)/,
    fails: /has no tokenizer/,
  },
}
