import * as ops from '../../../lib/ops/index.ts'
import { define, indices, integers, normal, values, type Case } from '../case.ts'

const columns = [0, 1, 2, 7, 8, 15, 16, 17, 33, 127, 129]

const embeddingCases = [
  ...columns.map((n) =>
    define({
      name: `embedding of [11,${n}], ids again and again`,
      inputs: { table: normal([11, n]), ids: indices([10, 0, 3, 3, 3, 10, 5, 3], [2, 4]) },
      run: ({ table, ids }) => ops.embedding(table, ids),
      exact: true,
    }),
  ),
  define({
    name: 'embedding of one id, of none',
    inputs: { table: normal([5, 9]), one: indices([4], []), none: indices([], [0]) },
    run: ({ table, one, none }) => [ops.embedding(table, one), ops.embedding(table, none)],
    exact: true,
  }),
  define({
    name: 'embedding with a padding row',
    inputs: { table: normal([5, 9]), ids: indices([2, 1, 2, 0, 4, 2]) },
    run: ({ table, ids }) => ops.embedding(table, ids, { paddingIndex: 2 }),
    exact: true,
    // The row is read, but gets no gradient.
    differences: false,
  }),
  define({
    name: 'embedding of a window of a table',
    inputs: { table: normal([9, 40]), ids: integers([3, 5], 0, 7) },
    run: ({ table, ids }) => ops.embedding(ops.slice(ops.slice(table, 0, 1, 8), 1, 3, 36), ids),
    exact: true,
  }),
  define({
    name: 'embedding of a table that is a factor too',
    inputs: { table: normal([11, 17]), ids: indices([10, 0, 3, 3, 10, 5]) },
    run: ({ table, ids }) => [ops.multiply(table, table), ops.embedding(table, ids, { paddingIndex: 5 })],
    differences: false,
  }),
  define({
    name: 'embedding of many ids',
    inputs: { table: normal([65, 130]), ids: integers([300], 0, 65) },
    run: ({ table, ids }) => ops.embedding(table, ids),
    exact: true,
  }),
]

const dropoutCases = [
  ...[0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 255, 257, 20_011].map((n) =>
    define({
      name: `dropout [${n}]`,
      inputs: { x: normal([n]), seed: indices([1234], []) },
      run: ({ x, seed }) => [
        ops.dropout(x, { probability: 0.3, seed }),
        ops.dropout(x, { probability: 0.3, seed, stream: 7 }),
      ],
    }),
  ),
  ...[0, 1e-9, 0.5, 0.999].map((probability) =>
    define({
      name: `dropout with probability ${probability}`,
      inputs: { x: normal([5, 33]), seed: indices([-3], []) },
      run: ({ x, seed }) => ops.dropout(x, { probability, seed }),
    }),
  ),
  define({
    name: 'dropout of views drops by the row-major place',
    inputs: { x: normal([6, 40, 18]), seed: indices([9], []) },
    run: ({ x, seed }) => ops.dropout(ops.transpose(ops.slice(x, 1, 2, 36)), { probability: 0.4, seed }),
  }),
  define({
    name: 'dropout of NaN and infinities',
    inputs: { x: values([NaN, 1, Infinity, -Infinity], [64]), seed: indices([5], []) },
    run: ({ x, seed }) => ops.dropout(x, { probability: 0.5, seed }),
    gradient: [],
  }),
]

export const embedding: readonly Case[] = [...embeddingCases, ...dropoutCases]
