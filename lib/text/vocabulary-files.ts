import { FileError } from '../errors.ts'
import type { TokenizerFiles } from './pretrained-tokenizer.ts'

type Config = Readonly<Record<string, unknown>>

/** BERT's vocab.txt, a token in each line: WordPiece over lower-cased words unless `do_lower_case` is false. */
export function filesOfWordPiece(text: string, config: Config, where: string): TokenizerFiles {
  const tokens = linesOf(text)
  const vocab = new Map(tokens.map((token, id) => [token, id]))
  const named = namedTokens(config, vocab, wordPieceNames)
  const [cls, sep] = [specialOf(named, vocab, 'cls', where), specialOf(named, vocab, 'sep', where)]
  const isLike = (name: string): boolean => String(config['tokenizer_class'] ?? '').startsWith(name)
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(named, vocab),
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: config['tokenize_chinese_chars'] ?? true,
        strip_accents: config['strip_accents'] ?? null,
        lowercase: config['do_lower_case'] ?? true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: isLike('MPNet')
        ? { type: 'RobertaProcessing', cls, sep, trim_offsets: false, add_prefix_space: false }
        : { type: 'BertProcessing', cls, sep },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: named['unk_token'],
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(vocab),
      },
    },
    config: { ...named, ...config },
  }
}

/**
 * GPT-2's vocab.json and merges.txt: byte-level BPE. Models whose vocabulary has `<s>` and `</s>` (RoBERTa, BART) begin
 * and end texts with them.
 */
export function filesOfBytePairs(
  ids: Readonly<Record<string, unknown>>,
  merges: string,
  config: Config,
  where: string,
): TokenizerFiles {
  const vocab = new Map(Object.entries(ids) as [string, number][])
  const named = namedTokens(config, vocab, vocab.has('<s>') && vocab.has('</s>') ? robertaNames : gpt2Names)
  const addsPrefix = config['add_prefix_space'] ?? false
  const isRoberta = named['cls_token'] !== undefined && named['sep_token'] !== undefined
  const layout = { trim_offsets: true, add_prefix_space: addsPrefix }
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(named, vocab),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', ...layout, use_regex: true },
      post_processor: isRoberta
        ? {
            type: 'RobertaProcessing',
            cls: specialOf(named, vocab, 'cls', where),
            sep: specialOf(named, vocab, 'sep', where),
            ...layout,
          }
        : { type: 'ByteLevel', ...layout, use_regex: true },
      decoder: { type: 'ByteLevel', ...layout, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        vocab: ids,
        merges: linesOf(merges).filter((line) => line !== '' && !line.startsWith('#version')),
      },
    },
    config: { ...named, ...config },
  }
}

const wordPieceNames: Readonly<Record<string, readonly string[]>> = {
  unk_token: ['[UNK]'],
  cls_token: ['[CLS]', '<s>'],
  sep_token: ['[SEP]', '</s>'],
  pad_token: ['[PAD]', '<pad>'],
  mask_token: ['[MASK]', '<mask>'],
}
const robertaNames: Readonly<Record<string, readonly string[]>> = {
  bos_token: ['<s>'],
  cls_token: ['<s>'],
  eos_token: ['</s>'],
  sep_token: ['</s>'],
  unk_token: ['<unk>'],
  pad_token: ['<pad>'],
  mask_token: ['<mask>'],
}
const gpt2Names: Readonly<Record<string, readonly string[]>> = {
  bos_token: ['<|endoftext|>'],
  eos_token: ['<|endoftext|>'],
  unk_token: ['<|endoftext|>'],
}

/** The special tokens that tokenizer_config.json names, else those that such vocabularies have. */
function namedTokens(
  config: Config,
  vocab: ReadonlyMap<string, number>,
  usual: Readonly<Record<string, readonly string[]>>,
): Record<string, string> {
  const names = Object.entries(usual).map(([name, tokens]): [string, string | undefined] => {
    const given = config[name]
    const content = typeof given === 'string' ? given : (given as { content?: unknown } | undefined)?.content
    return [name, typeof content === 'string' ? content : tokens.find((token) => vocab.has(token))]
  })
  return Object.fromEntries(names.filter(([, token]) => token !== undefined && vocab.has(token))) as Record<
    string,
    string
  >
}

function addedTokens(named: Readonly<Record<string, string>>, vocab: ReadonlyMap<string, number>): object[] {
  return [...new Set(Object.values(named))].map((content) => ({
    id: vocab.get(content),
    content,
    single_word: false,
    // A mask takes the space before it, as its word would.
    lstrip: content === '<mask>',
    rstrip: false,
    normalized: false,
    special: true,
  }))
}

function specialOf(
  named: Readonly<Record<string, string>>,
  vocab: ReadonlyMap<string, number>,
  name: string,
  where: string,
): [string, number] {
  const token = named[`${name}_token`]
  if (token === undefined)
    throw new FileError(`${where}: the vocabulary has no ${name}_token; name it in tokenizer_config.json`)
  return [token, vocab.get(token)!]
}

const linesOf = (text: string): string[] => text.replace(/\r?\n$/, '').split(/\r?\n/)
