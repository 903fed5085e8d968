import { describe, FileError } from '../errors.ts'
import { AlignedText, type Normalizer } from './aligned-text.ts'
import type { JsonFields } from './json-fields.ts'
import { PieceTrie } from './piece-trie.ts'

/** A token that is found in the text as it is, before the model sees it. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly singleWord: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Found in the normalised text, not in the one that was given. */
  readonly normalized: boolean
  readonly special: boolean
}

const longestToken = 8192

export function readAddedToken(fields: JsonFields, id: number): AddedToken {
  const content = fields.string('content')
  if (content.length > longestToken)
    throw new FileError(`${fields.where}: content of ${content.length} characters, expected at most ${longestToken}`)
  const special = fields.boolean('special', false)
  return {
    id,
    content,
    singleWord: fields.boolean('single_word', false),
    lstrip: fields.boolean('lstrip', false),
    rstrip: fields.boolean('rstrip', false),
    normalized: fields.boolean('normalized', !special),
    special,
  }
}

/** A part of a text: an added token, or what lies between. */
export interface Section {
  readonly text: AlignedText
  readonly token?: AddedToken
}

/** Finds added tokens, the leftmost first and of several there the longest. */
export class AddedTokens {
  readonly #raw: Finder
  readonly #normalized: Finder
  readonly #normalize: Normalizer

  constructor(tokens: readonly AddedToken[], normalize: Normalizer) {
    this.#normalize = normalize
    const found = tokens.filter(({ content }) => content !== '')
    this.#raw = new Finder(
      found.filter(({ normalized }) => !normalized),
      ({ content }) => content,
    )
    this.#normalized = new Finder(
      found.filter(({ normalized }) => normalized),
      ({ content }) => normalize(new AlignedText(content)).text,
    )
  }

  /** What is no token is normalised. */
  split(text: string): Section[] {
    return this.#raw
      .split(new AlignedText(text))
      .flatMap((section) => (section.token ? [section] : this.#normalized.split(this.#normalize(section.text))))
  }
}

class Finder {
  readonly #trie = new PieceTrie()
  readonly #tokens: readonly AddedToken[]

  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string) {
    this.#tokens = tokens
    for (const [i, token] of tokens.entries()) this.#trie.set(contentOf(token), i)
  }

  split(text: AlignedText): Section[] {
    if (this.#tokens.length === 0) return text.text === '' ? [] : [{ text }]
    const sections: Section[] = []
    const add = (from: number, to: number, token?: AddedToken): void => {
      if (to > from) sections.push({ text: text.slice(from, to), ...(token && { token }) })
    }
    const source = text.text
    let last = 0
    for (let i = 0; i < source.length; i++) {
      let end = -1
      let found = -1
      this.#trie.forEachPrefix(source, i, (to, index) => ([end, found] = [to, index]))
      if (found < 0) continue
      const token = this.#tokens[found]!
      if (
        token.singleWord &&
        (isWord.test(source.slice(0, i).slice(-2)) || beginsWord.test(source.slice(end, end + 2)))
      ) {
        i = end - 1
        continue
      }
      let start = i
      let stop = end
      if (token.lstrip) while (start > last && isSpace.test(source[start - 1]!)) start--
      if (token.rstrip) while (stop < source.length && isSpace.test(source[stop]!)) stop++
      add(last, start)
      add(start, stop, token)
      last = stop
      i = stop - 1
    }
    add(last, source.length)
    return sections
  }
}

const isSpace = /\p{White_Space}/u
const isWord = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const beginsWord = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u

/** The token of this name. Throws FileError if there is none. */
export function tokenNamed(ids: ReadonlyMap<string, number>, token: string, where: string): number {
  const id = ids.get(token)
  if (id === undefined) throw new FileError(`${where}: the token ${describe(token)} is not in the vocabulary`)
  return id
}
