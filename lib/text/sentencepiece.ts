import { mergesByScore } from './merges-by-score.ts'
import { bytePairsFrom } from './models.ts'
import { PieceTrie } from './piece-trie.ts'
import { PretrainedTokenizer, type TokenizerFiles } from './pretrained-tokenizer.ts'
import { sentencePieceDecoder } from './sentencepiece-decoder.ts'
import { pieceType, readSentencePieceModel, type Piece, type SentencePieceModel } from './sentencepiece-model.ts'
import { sentencePieceNormalizer } from './sentencepiece-normalizer.ts'
import { byteTokens, type TokenModel } from './token-model.ts'
import { unigramFrom } from './unigram.ts'

/**
 * The tokenizer in a `.model` file of SentencePiece, with its ids and its text. Special tokens are found in text, as in
 * `transformers`; SentencePiece takes them as text. Saved, it is a `tokenizer.json` as transformers converts such files.
 */
export function tokenizerFromSentencePiece(
  bytes: Uint8Array,
  config: Readonly<Record<string, unknown>>,
  where: string,
): PretrainedTokenizer {
  const model = readSentencePieceModel(bytes, where)
  return new PretrainedTokenizer(toFiles(model, config, where), where)
}

function toFiles(model: SentencePieceModel, config: Readonly<Record<string, unknown>>, where: string): TokenizerFiles {
  const { pieces, type, byteFallback, charsmap, addDummyPrefix, removeExtraWhitespaces } = model
  const unknownId = unknownIdOf(model)
  const added = pieces.flatMap(({ piece, type: kind }, id) =>
    kind === pieceType.control || kind === pieceType.unknown || kind === pieceType.userDefined
      ? [{ id, content: piece, normalized: false, special: kind !== pieceType.userDefined }]
      : [],
  )
  const { merges } = mergesByScore(
    pieces.map(({ piece }) => piece),
    pieces.map(({ score }) => score),
    (id) => type === 'bpe' && pieces[id]!.type === pieceType.normal,
  )
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: {
        type: 'Sequence',
        normalizers: [
          ...(charsmap
            ? [{ type: 'Precompiled', precompiled_charsmap: Buffer.from(charsmap).toString('base64') }]
            : []),
          ...(removeExtraWhitespaces
            ? [
                { type: 'Strip', strip_left: true, strip_right: true },
                { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
              ]
            : []),
          ...(addDummyPrefix ? [{ type: 'Prepend', prepend: '▁' }] : []),
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: beginAndEnd(model, config),
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model:
        type === 'bpe'
          ? {
              type: 'BPE',
              unk_token: pieces[unknownId]?.piece ?? null,
              fuse_unk: true,
              byte_fallback: byteFallback,
              vocab: Object.fromEntries(pieces.map(({ piece }, id) => [piece, id])),
              merges,
            }
          : {
              type: 'Unigram',
              unk_id: unknownId < 0 ? null : unknownId,
              byte_fallback: byteFallback,
              vocab: pieces.map(({ piece, score }) => [piece, score]),
            },
    },
    config: { ...model.names, ...config },
    exact: {
      isFoundInText: ({ special }) => special,
      normalizer: sentencePieceNormalizer(model, where),
      model: tokenModelOf(model),
      decoder: sentencePieceDecoder(model),
    },
  }
}

const unknownIdOf = ({ pieces }: SentencePieceModel): number =>
  pieces.findIndex((piece) => piece.type === pieceType.unknown)

/** How SentencePiece cuts normalised text. */
export function tokenModelOf(model: SentencePieceModel): TokenModel {
  return (model.type === 'bpe' ? bpe : unigram)(model, unknownIdOf(model))
}

/** The file does not say what is added to a text; tokenizer_config.json does, by itself or by the name of its class. */
function beginAndEnd({ pieces, names }: SentencePieceModel, config: Readonly<Record<string, unknown>>): object | null {
  const name = String(config['tokenizer_class'] ?? '')
  const special = (key: string, token: string, byName: RegExp): object[] => {
    const id = pieces.findIndex(({ piece }) => piece === names[token])
    return id >= 0 && (config[key] ?? byName.test(name)) === true
      ? [{ SpecialToken: { id: String(id), type_id: 0 } }]
      : []
  }
  const begin = special('add_bos_token', 'bos_token', /Llama|Gemma/)
  const end = special('add_eos_token', 'eos_token', /T5/)
  if (begin.length + end.length === 0) return null
  const text = (id: string): object => ({ Sequence: { id, type_id: 0 } })
  return {
    type: 'TemplateProcessing',
    single: [...begin, text('A'), ...end],
    pair: [...begin, text('A'), ...end, ...begin, text('B'), ...end],
    special_tokens: Object.fromEntries(
      pieces.flatMap(({ piece }, id) =>
        piece === names['bos_token'] || piece === names['eos_token']
          ? [[String(id), { id: String(id), ids: [id], tokens: [piece] }]]
          : [],
      ),
    ),
  }
}

function byteIdsOf({ pieces, byteFallback }: SentencePieceModel): (number | undefined)[] {
  if (!byteFallback) return []
  return byteTokens(
    new Map(pieces.flatMap(({ piece, type }, id) => (type === pieceType.byte ? [[piece, id] as const] : []))),
  )
}

const isMade = ({ type }: Piece): boolean =>
  type === pieceType.normal || type === pieceType.userDefined || type === pieceType.unused

/** Symbols of users are never merged with what is beside them. */
function bpe(model: SentencePieceModel, unknownId: number): TokenModel {
  const { pieces } = model
  const vocab = new Map(pieces.flatMap((piece, id) => (isMade(piece) ? [[piece.piece, id] as const] : [])))
  const { merges, ranks } = mergesByScore(
    pieces.map(({ piece }) => piece),
    pieces.map(({ score }) => score),
    (id) => isMade(pieces[id]!),
  )
  const plain = bytePairsFrom({
    vocab,
    merges,
    ranks,
    fusesUnknown: true,
    byteIds: byteIdsOf(model),
    ...(unknownId >= 0 && { unknownId }),
  })
  const symbols = new PieceTrie()
  for (const [id, { piece, type }] of pieces.entries()) if (type === pieceType.userDefined) symbols.set(piece, id)
  const tokenize = (word: string): ReturnType<TokenModel['tokenize']> => {
    const tokens = { ids: [] as number[], starts: [] as number[], ends: [] as number[] }
    const addPart = (from: number, to: number): void => {
      if (to <= from) return
      const part = plain.tokenize(word.slice(from, to))
      tokens.ids.push(...part.ids)
      tokens.starts.push(...part.starts.map((start) => start + from))
      tokens.ends.push(...part.ends.map((end) => end + from))
    }
    let last = 0
    for (let at = 0; at < word.length; at++) {
      let end = 0
      let id = -1
      symbols.forEachPrefix(word, at, (to, value) => ([end, id] = [to, value]))
      if (id < 0) continue
      addPart(last, at)
      tokens.ids.push(id)
      tokens.starts.push(at)
      tokens.ends.push(end)
      last = end
      at = end - 1
    }
    addPart(last, word.length)
    return tokens
  }
  return { ...plain, vocab: allIds(pieces), tokenize }
}

const allIds = (pieces: readonly Piece[]): Map<string, number> => new Map(pieces.map(({ piece }, id) => [piece, id]))

/** Sums are those of single precision. A symbol of users has the score of its bytes, each as the best piece. */
function unigram(model: SentencePieceModel, unknownId: number): TokenModel {
  const { pieces } = model
  const normal = pieces.filter(({ type }) => type === pieceType.normal).map(({ score }) => score)
  const best = normal.reduce((a, b) => Math.max(a, b), -Infinity)
  const worst = normal.reduce((a, b) => Math.min(a, b), Infinity)
  const usable = pieces.map(({ type }) => type === pieceType.normal || type === pieceType.userDefined)
  return {
    ...unigramFrom({
      vocab: new Map(),
      pieces: pieces.map(({ piece }, id) => (usable[id] ? piece : undefined)),
      scores: Float64Array.from(pieces, ({ piece, score, type }) =>
        type === pieceType.userDefined ? Math.fround(Buffer.byteLength(piece) * best - 0.1) : score,
      ),
      worst,
      byteIds: byteIdsOf(model),
      round: Math.fround,
      ...(unknownId >= 0 && { unknownId }),
    }),
    vocab: allIds(pieces),
  }
}
