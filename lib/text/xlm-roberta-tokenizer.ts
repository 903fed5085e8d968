import { FileError } from '../errors.ts'
import type { TokenizerFiles } from './pretrained-tokenizer.ts'
import { readSentencePieceModel } from './sentencepiece-model.ts'

export const xlmRobertaFile = 'sentencepiece.bpe.model'

/** What stands before the pieces of the file, in the place of its own special tokens. */
const first = ['<s>', '<pad>', '</s>', '<unk>']

/**
 * The tokenizer of XLM-RoBERTa (Conneau et al. 2020), whose ids are those of fairseq: its own special tokens, the pieces of the
 * file after its first three, and `<mask>`. Throws FileError for the models of other classes that have a file of this name
 * (mBART's ids of languages are in no file).
 */
export function filesOfXlmRoberta(
  bytes: Uint8Array,
  config: Readonly<Record<string, unknown>>,
  where: string,
): TokenizerFiles {
  const name = String(config['tokenizer_class'] ?? 'XLMRobertaTokenizer')
  if (!name.startsWith('XLMRoberta'))
    throw new FileError(
      `${where}: ${name} is not supported from this file; supported: XLMRobertaTokenizer; save the tokenizer with transformers, which writes tokenizer.json`,
    )
  const { pieces, type, charsmap } = readSentencePieceModel(bytes, where)
  if (type !== 'unigram') throw new FileError(`${where}: expected a unigram model, got ${type}`)
  const vocab = [
    ...first.map((token) => [token, 0]),
    ...pieces.slice(3).map(({ piece, score }) => [piece, score]),
    ['<mask>', 0],
  ]
  const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } })
  const text = (id: string): object => ({ Sequence: { id, type_id: 0 } })
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }
  const added = [...first, '<mask>'].map((content) => ({
    id: content === '<mask>' ? vocab.length - 1 : first.indexOf(content),
    content,
    normalized: false,
    special: true,
  }))
  const names = { bos: '<s>', eos: '</s>', sep: '</s>', cls: '<s>', unk: '<unk>', pad: '<pad>', mask: '<mask>' }
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: charsmap
        ? { type: 'Precompiled', precompiled_charsmap: Buffer.from(charsmap).toString('base64') }
        : null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
      post_processor: {
        type: 'TemplateProcessing',
        single: [special('<s>'), text('A'), special('</s>')],
        pair: [special('<s>'), text('A'), special('</s>'), special('</s>'), text('B'), special('</s>')],
        special_tokens: Object.fromEntries(
          ['<s>', '</s>'].map((token) => [token, { id: token, ids: [first.indexOf(token)], tokens: [token] }]),
        ),
      },
      decoder: metaspace,
      model: { type: 'Unigram', unk_id: first.indexOf('<unk>'), byte_fallback: false, vocab },
    },
    config: { ...Object.fromEntries(Object.entries(names).map(([key, token]) => [`${key}_token`, token])), ...config },
  }
}
