import { fill } from '../../../lib/ops/fill.ts'
import * as ops from '../../../lib/ops/index.ts'
import type { Tensor } from '../../../lib/tensor/tensor.ts'
import { define, integers, normal, type Case } from '../case.ts'
import type { Shape } from '../../../lib/tensor/shape.ts'

const views: Readonly<Record<string, readonly [Shape, (x: Tensor) => Tensor | readonly Tensor[]]>> = {
  'reshape [3,20] to [2,-1,5]': [[3, 20], (x) => ops.reshape(x, [2, -1, 5])],
  'reshape of a transposed tensor': [[7, 33], (x) => ops.reshape(ops.transpose(x), [-1])],
  'reshape of nothing': [[0, 4], (x) => ops.reshape(x, [2, 0])],
  'reshape to a scalar and back': [[1, 1], (x) => ops.reshape(ops.reshape(x, []), [1])],
  'transpose [17,33]': [[17, 33], (x) => ops.transpose(x)],
  'transpose [128,129]': [[128, 129], (x) => ops.transpose(x)],
  'transpose [3,1,15,16]': [[3, 1, 15, 16], (x) => ops.transpose(x, [2, 0, 3, 1])],
  'transpose [2,9,3,8]': [[2, 9, 3, 8], (x) => ops.transpose(x, [0, 2, 1, 3])],
  'transpose [0,5]': [[0, 5], (x) => ops.transpose(x)],
  'transpose of six axes': [[2, 3, 2, 3, 2, 3], (x) => ops.transpose(x, [5, 0, 3, 2, 1, 4])],
  'slice from both ends': [[7, 37], (x) => [ops.slice(x, 0, 2), ops.slice(x, 1, -5, -1), ops.slice(x, 1, 0, 0)]],
  'slice beyond the end': [[7, 9], (x) => [ops.slice(x, 1, 3, 100), ops.slice(x, 1, 50, 100)]],
  'split in equal parts, one of them unused': [[5, 51], (x) => ops.split(x, 3).slice(1)],
  'split by sizes': [[9, 5], (x) => ops.split(x, [0, 1, 8], 0)],
  'concat of parts and of the same twice': [
    [5, 17],
    (x) => [ops.concat([x, ops.negate(x), x], 0), ops.concat([x, ops.slice(x, 1, 0, 0), ops.exp(x)], -1)],
  ],
  'concat of transposed parts': [[6, 6], (x) => ops.concat([ops.transpose(x), x, ops.transpose(ops.negate(x))], 1)],
  'pad at both ends': [[5, 17], (x) => [ops.pad(x, 0, 2, 0), ops.pad(x, 1, 1, 3), ops.pad(x, 1, 0, 0)]],
  'pad of what is computed': [[5, 17], (x) => ops.pad(ops.tanh(x), 1, 3, 5)],
  'pad of nothing': [[0, 3], (x) => ops.pad(x, 0, 1, 1)],
  'broadcastTo new and stretched axes': [[3, 1, 17], (x) => ops.broadcastTo(x, [2, 3, 5, 17])],
  'broadcastTo from a scalar': [[], (x) => ops.broadcastTo(x, [3, 19])],
  'broadcastTo nothing': [[1, 3], (x) => ops.broadcastTo(x, [0, 3])],
  'copy of a large transposed tensor': [[70, 300], (x) => ops.transpose(x)],
}

const indexCase = define({
  name: 'views, parts and copies of indices',
  inputs: { ids: integers([5, 17], -1000, 1000) },
  run: ({ ids }, dtype) => {
    const turned = ops.transpose(ids)
    return [
      ops.concat([turned, fill([1, 5], 7, 'i32'), ops.slice(turned, 0, 3, 9)]),
      ops.pad(ops.broadcastTo(ids, [2, 5, 17]), 1, 1, 0),
      ops.cast(ops.reshape(turned, [-1]), dtype),
    ]
  },
  gradient: [],
  exact: true,
})

export const view: readonly Case[] = [
  ...Object.entries(views).map(([name, [shape, run]]) =>
    define({ name, inputs: { x: normal(shape) }, run: ({ x }) => run(x) }),
  ),
  indexCase,
]
