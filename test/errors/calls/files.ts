import { join } from 'node:path'
import {
  boolean,
  optional,
  but,
  fn,
  integer,
  oneOf,
  text,
  signal,
  path,
  tokens,
  mapOf,
  instance,
  options,
} from '../kinds.ts'
import { on, any, folder, trusted, oneTensor, make, type Call } from './call.ts'

const onProgress = fn(() => () => {})
const decoding = { skipSpecialTokens: boolean, cleanUpTokenizationSpaces: boolean }

export const files: Readonly<Record<string, Call>> = {
  readSafetensors: {
    args: [path(() => join(folder(), 'a')), options({}, { signal, onProgress })],
    fails: /no such file/,
  },
  openCheckpoint: {
    args: [path(() => join(folder(), 'a')), options({}, { signal, onProgress })],
    fails: /no such file/,
  },
  ggufModel: { args: [instance(() => ({ format: 'gguf', path: 'x', metadata: {} }))], fails: /architecture undefined/ },
  resolveModel: {
    args: [
      path(() => './surely/not/there'),
      options({}, { revision: path(() => 'main'), signal, onProgress, cache: path(folder) }),
    ],
    fails: /no such file or folder/,
  },
  writeCheckpoint: {
    args: [
      path(folder),
      but(mapOf('x', but(oneTensor, 'i32')), 'array'),
      optional(
        but(
          instance(() => ({})),
          'object',
        ),
      ),
      options({}, { dtype: oneOf('bf16', 'f16', 'f32'), maxShardSize: integer(1, any), signal }),
    ],
    named: /^write(Checkpoint|Safetensors)/,
  },
  writeSafetensors: {
    args: [
      path(() => join(folder(), 'a')),
      but(mapOf('x', but(oneTensor, 'i32')), 'array'),
      optional(
        but(
          instance(() => ({})),
          'object',
        ),
      ),
      options({}, { dtype: oneOf('bf16', 'f16', 'f32'), signal }),
    ],
  },
  CharTokenizer: {
    args: [
      but(
        instance(() => ['a']),
        'array',
      ),
    ],
    named: /^CharTokenizer/,
  },
  'CharTokenizer.train': { args: [text] },
  'CharTokenizer.load': { args: [path(folder)], fails: /no such file/ },
  'CharTokenizer.fromJson': { args: [trusted({}), trusted('a file')], fails: /^a file: not a tokenizer/ },
  'CharTokenizer.describes': { args: [trusted({})] },
  'CharTokenizer#encode': { args: [text, options({}, { addSpecialTokens: boolean })], ...on(make.tokenizer) },
  'CharTokenizer#decode': {
    args: [
      but(
        tokens(() => Int32Array.of(1)),
        'array',
      ),
      options({}, decoding),
    ],
    ...on(make.tokenizer),
  },
  'CharTokenizer#decoder': { args: [options({}, decoding)], ...on(make.tokenizer) },
  'CharTokenizer#applyChatTemplate': {
    args: [trusted([{ role: 'user' }])],
    ...on(make.tokenizer),
    fails: /no chat template/,
  },
  'CharTokenizer#tokenToId': { args: [trusted('a')], ...on(make.tokenizer) },
  'CharTokenizer#idToToken': { args: [trusted(0)], ...on(make.tokenizer) },
  'CharTokenizer#save': { args: [path(folder)], ...on(make.tokenizer) },
  loadTokenizer: { args: [path(folder)], fails: /has no tokenizer/ },
  tokenizerFromGguf: {
    args: [
      but(
        instance(() => ({})),
        'object',
        'unknownOption',
      ),
    ],
    fails: /tokens should be a list/,
  },
}
