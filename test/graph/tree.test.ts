import { expect, it } from 'vitest'
import { leavesLike, mapTree, type Leaf } from '../../lib/graph/tree.ts'
import { tensor } from '../../lib/index.ts'

class Kind {
  readonly isNumber: boolean
  constructor(isNumber: boolean) {
    this.isNumber = isNumber
  }
}
const like = (value: unknown): unknown => mapTree('test', value, (leaf) => new Kind(typeof leaf === 'number'))
const leavesOf = (value: unknown, other: unknown): Leaf[] | undefined =>
  leavesLike(value, like(other), Kind, (leaf, { isNumber }) => isNumber === (typeof leaf === 'number'))

const x = tensor([1])
const data = new Float32Array(2)

it.each<[string, unknown, Leaf[]]>([
  ['a leaf', 3, [3]],
  ['objects and arrays', { a: x, list: [1, { b: data }] }, [x, 1, data]],
  ['nothing', { a: undefined, b: null, c: 5 }, [5]],
])('leaves of the same structure: %s', (_, value, leaves) => expect(leavesOf(value, value)).toEqual(leaves))

it.each<[string, unknown, unknown]>([
  ['another kind of leaf', { a: 1 }, { a: x }],
  ['a key more', { a: 1, b: 2 }, { a: 1 }],
  ['a key less', { a: 1 }, { a: 1, b: 2 }],
  ['another key', { b: 1 }, { a: 1 }],
  ['another order', { b: 1, a: 1 }, { a: 1, b: 1 }],
  ['a longer list', [1, 2], [1]],
  ['a list for a leaf', [1], 1],
  ['a leaf for a list', 1, [1]],
  ['a tensor for an object', x, { shape: 1 }],
  ['nothing for a leaf', { a: undefined }, { a: 1 }],
  ['a leaf for nothing', { a: 1 }, { a: undefined }],
  ['an object of a class', new Date(), {}],
  ['a map, which is left to mapTree', new Map([['a', 1]]), new Map([['a', 1]])],
])('undefined for %s', (_, value, other) => expect(leavesOf(value, other)).toBeUndefined())
