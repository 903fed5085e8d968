import { FileError } from '../errors.ts'
import { byteCharacters } from './byte-characters.ts'
import type { JsonFields } from './json-fields.ts'

/** A run of tokens of one text, or of special tokens, whose sequence is -1. */
export interface Tokens {
  readonly ids: readonly number[]
  readonly starts: number[]
  readonly ends: number[]
  /** The piece of the text, as it was cut before the model, that each token belongs to. */
  readonly words: readonly number[]
  readonly type: number
  readonly sequence: number
}

/** Puts the tokens of one or two texts and the special ones in order. */
export interface PostProcessor {
  process(parts: readonly Tokens[], addSpecialTokens: boolean): readonly Tokens[]
  /** How many special tokens there are for one text, and for two. */
  readonly added: readonly [single: number, pair: number]
  /** Whether any token has another type than 0. */
  readonly hasTypes: boolean
}

export const noPostProcessor: PostProcessor = {
  process: (parts) => parts.map((part, i) => ({ ...part, type: i })),
  added: [0, 0],
  hasTypes: false,
}

/** What gives the text of a token, which tells the spaces that offsets leave out. */
export type TokenText = (id: number) => string

/** The post-processor that a tokenizer.json describes. Throws FileError for a type that is not supported. */
export function readPostProcessor(fields: JsonFields, textOf: TokenText): PostProcessor {
  return fields.choice('type', kinds)(fields, textOf)
}

const kinds: Readonly<Record<string, (fields: JsonFields, textOf: TokenText) => PostProcessor>> = {
  TemplateProcessing: template,
  ByteLevel: (fields, textOf) => {
    const trim = fields.boolean('trim_offsets', true)
    const prefix = fields.boolean('add_prefix_space', true)
    return {
      ...noPostProcessor,
      process: (parts) => (trim ? parts.map((part) => trimmed(part, prefix, textOf)) : parts),
    }
  },
  BertProcessing: (fields) => {
    const [cls, sep] = [special(fields, 'cls'), special(fields, 'sep')]
    return arranged([[cls, 0], 'A', [sep, 0]], [[cls, 0], 'A', [sep, 0], 'B', [sep, 1]], [0, 1])
  },
  RobertaProcessing: (fields, textOf) => {
    const [cls, sep] = [special(fields, 'cls'), special(fields, 'sep')]
    const trim = fields.boolean('trim_offsets', true)
    const prefix = fields.boolean('add_prefix_space', true)
    const layout = arranged([[cls, 0], 'A', [sep, 0]], [[cls, 0], 'A', [sep, 0], [sep, 0], 'B', [sep, 0]], [0, 0])
    return {
      ...layout,
      process: (parts, add) => layout.process(trim ? parts.map((part) => trimmed(part, prefix, textOf)) : parts, add),
    }
  },
  Sequence: (fields, textOf) => {
    const steps = fields.objects('processors').map((step) => readPostProcessor(step, textOf))
    const arranging = steps.filter(({ added, hasTypes }) => added[0] > 0 || added[1] > 0 || hasTypes)
    if (arranging.length > 1)
      throw new FileError(`${fields.where}: more than one processor that adds tokens is not supported`)
    return {
      process: (parts, add) => steps.reduce((result, step) => step.process(result, add), parts),
      added: arranging[0]?.added ?? [0, 0],
      hasTypes: arranging.length > 0 && arranging[0]!.hasTypes,
    }
  },
}

/** `["[CLS]", 101]`. */
function special(fields: JsonFields, name: string): readonly number[] {
  const [, id] = fields.list(name)
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) throw fields.wrong(name, 'a token and its id')
  return [id]
}

type Piece = 'A' | 'B' | readonly [ids: readonly number[], type: number]

function arranged(
  single: readonly Piece[],
  pair: readonly Piece[],
  types: readonly [a: number, b: number],
): PostProcessor {
  const count = (pieces: readonly Piece[]): number =>
    pieces.reduce((sum, piece) => sum + (typeof piece === 'string' ? 0 : piece[0].length), 0)
  return {
    process: (parts, addSpecialTokens) =>
      (parts.length > 1 ? pair : single).flatMap((piece) => {
        if (piece === 'A') return [{ ...parts[0]!, type: types[0] }]
        if (piece === 'B') return [{ ...parts[1]!, type: types[1] }]
        return addSpecialTokens ? [specialTokens(...piece)] : []
      }),
    added: [count(single), count(pair)],
    hasTypes: types.some((type) => type > 0) || pair.some((piece) => typeof piece !== 'string' && piece[1] > 0),
  }
}

function specialTokens(ids: readonly number[], type: number): Tokens {
  const none = ids.map(() => 0)
  return { ids, starts: none, ends: [...none], words: ids.map(() => -1), type, sequence: -1 }
}

function template(fields: JsonFields): PostProcessor {
  const specials = fields.optionalObject('special_tokens')
  const types: [a: number, b: number] = [0, 0]
  const read = (name: string, allowed: readonly string[]): Piece[] =>
    fields.objects(name).map((item) => {
      const sequence = item.optionalObject('Sequence')
      if (sequence) {
        const id = sequence.string('id')
        if (!allowed.includes(id)) throw sequence.wrong('id', `one of ${allowed.join(', ')}`)
        types[id === 'A' ? 0 : 1] = sequence.integer('type_id', 0, 1000, 0)
        return id as 'A' | 'B'
      }
      const token = item.object('SpecialToken')
      if (!specials) throw fields.wrong('special_tokens', 'an object')
      const ids = specials.object(token.string('id')).list('ids')
      if (!ids.every((id) => typeof id === 'number' && Number.isInteger(id) && id >= 0))
        throw new FileError(`${token.where}: the ids of ${token.string('id')} should be integers of at least 0`)
      return [ids as number[], token.integer('type_id', 0, 1000, 0)]
    })
  const single = read('single', ['A'])
  const pair = fields.raw('pair') === undefined ? (['A', 'B'] as const) : read('pair', ['A', 'B'])
  for (const [name, pieces, needed] of [
    ['single', single, ['A']],
    ['pair', pair, ['A', 'B']],
  ] as const)
    for (const id of needed)
      if (pieces.filter((piece) => piece === id).length !== 1)
        throw fields.wrong(name, `a template with the sequence ${id} once`)
  return arranged(single, pair, types)
}

/** Offsets without the spaces at either end of a token. */
function trimmed(part: Tokens, hasPrefix: boolean, textOf: TokenText): Tokens {
  const { ids, starts, ends } = part
  for (let i = 0; i < ids.length; i++) {
    const characters = [...textOf(ids[i]!)]
    const isSpace = (character: string): boolean =>
      character === byteCharacters[32] || /\p{White_Space}/u.test(character)
    let leading = characters.findIndex((character) => !isSpace(character))
    if (leading < 0) leading = characters.length
    let trailing = characters.length - 1 - characters.findLastIndex((character) => !isSpace(character))
    // One that was put there is no space of the text; several were in it.
    if (leading === 1 && hasPrefix && (i === 0 || starts[i] === 0)) leading = 0
    if (leading > 0) starts[i] = Math.min(starts[i]! + leading, ends[i]!)
    if (trailing > 0 && ends[i]! >= trailing) ends[i] = Math.max(ends[i]! - trailing, starts[i]!)
  }
  return part
}
