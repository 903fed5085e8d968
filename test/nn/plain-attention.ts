import type { Linear, MultiHeadAttention } from '../../lib/nn/index.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

type Matrix = number[][]

/** y = x·Wᵀ + b of one row. */
export interface Affine {
  weight: Matrix
  bias?: number[]
}

export const matrix = (x: Tensor): Matrix => x.toArray() as Matrix
export const cube = (x: Tensor): Matrix[] => x.toArray() as Matrix[]

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0)
export const applyAffine = ({ weight, bias }: Affine, x: number[]): number[] =>
  weight.map((row, i) => dot(row, x) + (bias?.[i] ?? 0))

/** The rows of a layer, cut into projections of the given widths. */
export function affines({ weight, bias }: Linear, widths: readonly number[]): Affine[] {
  let end = 0
  return widths.map((width) => {
    const rows = [end, (end += width)] as const
    const cut = { weight: matrix(weight).slice(...rows) }
    return bias ? { ...cut, bias: (bias.toArray() as number[]).slice(...rows) } : cut
  })
}

export interface PlainAttention {
  heads: number
  kvHeads?: number
  headDim: number
  /** Whether query i of sequence b sees key j. */
  sees(b: number, i: number, j: number): boolean
  /** What becomes of a head of a query or a key that stands at t. */
  turn?: (head: number[], t: number) => number[]
  /** What becomes of the score of head h for query i and key j. */
  shape?: (score: number, h: number, i: number, j: number) => number
}

/** Multi-head attention by its definition, in f64 with every score at hand: x [batch][length][dim] → the same. */
export function plainAttention(
  layer: MultiHeadAttention,
  x: Matrix[],
  memory: Matrix[],
  { heads, kvHeads = heads, headDim, sees, turn = (head) => head, shape = (score) => score }: PlainAttention,
): Matrix[] {
  const [width, kvWidth] = [heads * headDim, kvHeads * headDim]
  const [query, key, value] = layer.qkv
    ? affines(layer.qkv, [width, kvWidth, kvWidth])
    : [...affines(layer.query!, [width]), ...affines(layer.keyValue!, [kvWidth, kvWidth])]
  const [output] = affines(layer.output, [layer.output.weight.shape[0]!])
  const head = (row: number[], h: number): number[] => row.slice(h * headDim, (h + 1) * headDim)
  return x.map((sequence, b) => {
    const keys = memory[b]!.map((row) => applyAffine(key!, row))
    const values = memory[b]!.map((row) => applyAffine(value!, row))
    return sequence.map((row, i) => {
      const q = applyAffine(query!, row)
      const joined = Array.from({ length: heads }, (_, h) => {
        const g = Math.floor(h / (heads / kvHeads))
        const seen = keys.map((_, j) => j).filter((j) => sees(b, i, j))
        const turned = turn(head(q, h), i)
        const weights = seen.map((j) =>
          Math.exp(shape(dot(turned, turn(head(keys[j]!, g), j)) / Math.sqrt(headDim), h, i, j)),
        )
        const sum = weights.reduce((a, w) => a + w, 0)
        return Array.from({ length: headDim }, (_, d) =>
          seen.reduce((a, j, n) => a + (weights[n]! / sum) * head(values[j]!, g)[d]!, 0),
        )
      })
      return applyAffine(output!, joined.flat())
    })
  })
}
