import type { Checkpoint, CheckpointTensor } from '../checkpoint/checkpoint.ts'
import { encodeGguf } from '../checkpoint/gguf-encode.ts'

/** A tensor as GGUF files have it: numbers, or bytes of its own type. */
export interface Source {
  readonly name: string
  readonly shape: readonly number[]
  readonly fileType: string
  numbers(begin: number, end: number): Promise<Float32Array>
  bytes(begin: number, end: number): Promise<Uint8Array>
}

/** How a tensor lies in the file. */
export interface Layout {
  transposed: boolean
  /** Rows are in another order within each head of so many; 0: they are not. */
  headDim: number
  byPart: boolean
  offset: number
}

/** A tensor of a checkpoint, told by its name and layout in GGUF files. */
export function laidOut(
  checkpoint: Checkpoint,
  name: string,
  { shape, fileType }: CheckpointTensor,
  theirs: string,
  { transposed, headDim, byPart, offset }: Layout,
): Source {
  const plain = !transposed && !headDim && !offset
  let whole: Float32Array | undefined
  const numbers = async (begin: number, end: number): Promise<Float32Array> => {
    if (plain) {
      using tensor = await checkpoint.read(name, { rows: [begin, end] })
      return Float32Array.from(tensor.data())
    }
    whole ??= relaid(await numbersOf(checkpoint, name), shape, headDim, byPart).map((value) => value + offset)
    const [rows, columns] = [transposed ? shape[1]! : shape[0]!, transposed ? shape[0]! : (shape[1] ?? 1)]
    const part = whole.subarray(begin * columns, end * columns)
    if (end === rows) whole = undefined
    return part
  }
  return {
    name: theirs,
    shape: transposed ? [...shape].reverse() : shape,
    // Bytes are only taken as they are where rows are, too.
    fileType: plain ? fileType : 'F32',
    numbers,
    bytes: async (begin, end) =>
      plain ? checkpoint.readBytes(name, { rows: [begin, end] }) : encodeGguf(await numbers(begin, end), 'F32'),
  }
}

async function numbersOf(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  using tensor = await checkpoint.read(name)
  return Float32Array.from(tensor.data())
}

/**
 * Transposed, or with row i and headDim / 2 + i of each head as 2i and 2i + 1, or all queries first, then all keys and all
 * values, where those of a head are side by side; as it is where none of it is asked for by a headDim of 0 for a vector.
 */
function relaid(from: Float32Array, shape: readonly number[], headDim: number, byPart: boolean): Float32Array {
  const [rows, columns] = [shape[0]!, shape[1] ?? 1]
  if (!headDim && shape.length < 2) return from
  const to = new Float32Array(from.length)
  if (!headDim) {
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j]!
    return to
  }
  for (let row = 0; row < rows; row++) {
    const within = row % headDim
    const [head, part] = [Math.floor(row / headDim / 3), Math.floor(row / headDim) % 3]
    const target = byPart
      ? part * (rows / 3) + head * headDim + within
      : row - within + (within < headDim / 2 ? 2 * within : 2 * (within - headDim / 2) + 1)
    to.set(from.subarray(row * columns, (row + 1) * columns), target * columns)
  }
  return to
}
