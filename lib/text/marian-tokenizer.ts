import { FileError } from '../errors.ts'
import { parseJsonObject } from '../files/read-file.ts'
import { PretrainedTokenizer, type TokenizerFiles } from './pretrained-tokenizer.ts'
import { sentencePieceDecoder } from './sentencepiece-decoder.ts'
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.ts'
import { sentencePieceNormalizer } from './sentencepiece-normalizer.ts'
import { tokenModelOf } from './sentencepiece.ts'
import type { TokenModel } from './token-model.ts'

/** A model of SentencePiece for each language, and the ids of both. */
export const marianFiles = ['source.spm', 'target.spm', 'vocab.json'] as const

export type MarianFiles = Readonly<Record<(typeof marianFiles)[number], Uint8Array>>

/**
 * The tokenizer of Marian models (Junczys-Dowmunt et al. 2018), as transformers reads it: texts are cut by `source.spm`,
 * numbered by `vocab.json`, and put together by `target.spm`, which also cuts what they are to become (`textTarget`); the code of a language to translate to, `>>fr<<`, is one token. Texts are not put
 * through the normaliser of punctuation that transformers uses where sacremoses is installed.
 */
export function marianTokenizer(
  files: MarianFiles,
  config: Readonly<Record<string, unknown>>,
  where: string,
): PretrainedTokenizer {
  if (config['separate_vocabs'] === true)
    throw new FileError(`${where}: separate_vocabs is not supported; one vocab.json for both languages is`)
  const source = readSentencePieceModel(files['source.spm'], `${where}: source.spm`)
  const target = readSentencePieceModel(files['target.spm'], `${where}: target.spm`)
  const ids = parseJsonObject(Buffer.from(files['vocab.json']).toString(), `${where}: vocab.json`)
  const named = { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>', ...config }
  const idOf = (token: string): number => {
    const id = ids[token]
    if (!Number.isInteger(id)) throw new FileError(`${where}: vocab.json: ${JSON.stringify(token)} should have an id`)
    return id as number
  }
  const [end, unknown, padding] = [named.eos_token, named.unk_token, named.pad_token].map((token) => String(token))
  const codes = Object.keys(ids).filter((token) => /^>>.*<<$/.test(token))
  const vocab = new Map(Object.entries(ids) as [string, number][])
  const special = [end!, unknown!, padding!, ...codes].filter((token) => Object.hasOwn(ids, token))
  const added = special.map((content) => ({ id: idOf(content), content, normalized: false, special: true }))
  const filesOf = (model: SentencePieceModel): TokenizerFiles => ({
    tokenizer: {
      added_tokens: added,
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: end, type_id: 0 } }],
        pair: [
          { Sequence: { id: 'A', type_id: 0 } },
          { Sequence: { id: 'B', type_id: 0 } },
          { SpecialToken: { id: end, type_id: 0 } },
        ],
        special_tokens: { [end!]: { id: end, ids: [idOf(end!)], tokens: [end] } },
      },
    },
    config: named,
    exact: {
      normalizer: sentencePieceNormalizer(model, where),
      model: renumbered(tokenModelOf(model), model.pieces, vocab, idOf(unknown!)),
      decoder: sentencePieceDecoder(target),
    },
  })
  return new PretrainedTokenizer({ ...filesOf(source), target: filesOf(target), originals: files }, where)
}

/** A model whose tokens have the ids of another vocabulary. */
function renumbered(
  model: TokenModel,
  pieces: readonly { readonly piece: string }[],
  vocab: ReadonlyMap<string, number>,
  unknownId: number,
): TokenModel {
  return {
    vocab,
    unknownId,
    tokenize: (word) => {
      const { ids, starts, ends } = model.tokenize(word)
      const textOf = (id: number, i: number): string =>
        id === model.unknownId ? word.slice(starts[i], ends[i]) : pieces[id]!.piece
      return { ids: ids.map((id, i) => vocab.get(textOf(id, i)) ?? unknownId), starts, ends }
    },
  }
}
