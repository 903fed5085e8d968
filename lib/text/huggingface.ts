import * as library from '@huggingface/tokenizers'

/**
 * What is used of `@huggingface/tokenizers` (Apache-2.0, 37 kB, no dependencies): the merging of BPE, WordPiece, and the
 * translation of Oniguruma's regular expressions. It gives no offsets, its normalisers are approximations (of 736 hard
 * texts it numbers 82 of BERT's and 12 of T5's otherwise than Python), and its Unigram is slow to load; these are ours.
 *
 * The types are written here, as those that it publishes do not resolve for ES modules.
 */
interface Library {
  readonly BPE: new (config: {
    type: 'BPE'
    vocab: Readonly<Record<string, number>>
    merges: readonly (readonly [left: string, right: string])[]
    end_of_word_suffix: string | undefined
  }) => {
    bpe(word: string): readonly string[]
    /** The order of merging by the pair as JSON. Of equals the leftmost is merged first. */
    readonly bpe_ranks: Map<string, number>
  }
  readonly WordPiece: new (config: {
    type: 'WordPiece'
    vocab: Readonly<Record<string, number>>
    unk_token: string
    continuing_subword_prefix: string
    max_input_chars_per_word: number
  }) => { encode(words: readonly string[]): readonly string[] }
  readonly SplitPreTokenizer: new (config: {
    type: 'Split'
    pattern: { Regex: string }
    behavior: 'Isolated'
    invert: boolean
  }) => { readonly pattern: RegExp | null }
}

export const { BPE, WordPiece, SplitPreTokenizer } = library as unknown as Library
