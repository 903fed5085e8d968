import { expect, it } from 'vitest'
import { StopStrings } from '../../lib/generate/stop-strings.ts'

function read(text: string, stops: string[], size: number): { text: string; found: string | undefined } {
  const strings = new StopStrings(stops)
  let read = ''
  for (let at = 0; at < text.length; at += size) read += strings.push(text.slice(at, at + size))
  return { text: read + strings.flush(), found: strings.found }
}

it.each([1, 2, 3, 100])('finds the first stop string in pieces of %i', (size) => {
  expect(read('one two three', ['th', 'two'], size)).toEqual({ text: 'one ', found: 'two' })
  expect(read('aab', ['ab'], size)).toEqual({ text: 'a', found: 'ab' })
  expect(read('no end', ['\n\n', 'ended'], size)).toEqual({ text: 'no end', found: undefined })
  expect(read('anything', [], size)).toEqual({ text: 'anything', found: undefined })
})

it('holds back only what may become a stop string', () => {
  const strings = new StopStrings(['<|end|>'])
  expect(['ab', 'c<', '|e', 'x<|', 'end|>y'].map((piece) => strings.push(piece))).toEqual(['ab', 'c', '', '<|ex', ''])
})
