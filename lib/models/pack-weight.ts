import { setImmediate } from 'node:timers/promises'
import type { ReadOptions } from '../checkpoint/checkpoint.ts'
import { compile, type Compiled } from '../graph/compile.ts'
import { bytesInRow, packRows } from '../ops/packed-rows.ts'
import { panelsShape, QuantizedMatrix, quantize, type WeightFormat } from '../ops/quantize.ts'
import { transpose } from '../ops/view.ts'
import { sizeOf } from '../tensor/shape.ts'
import { allocate, sharedMemory, Tensor } from '../tensor/tensor.ts'
import type { ModelFiles } from './model-files.ts'
import type { Packable } from './weight-formats.ts'

/**
 * Numbers that are packed at a time. Memory for fewer bytes would come from
 * the heap, which keeps what it once had: 80 MB more of a model with 1.2 GB.
 */
const slabSize = 2 ** 22
const panelColumns = 32

/** The types of files whose numbers a format takes as they are. */
const fileTypes: Readonly<Partial<Record<WeightFormat, string>>> = {
  f32: 'F32',
  bf16: 'BF16',
  f16: 'F16',
  q8_0: 'Q8_0',
  q4_0: 'Q4_0',
}

/** What packs weights, off the event loop. Dispose it after the last weight. */
export class Packer implements Disposable {
  readonly #programs = new Map<string, Compiled<{ x: Tensor }, Tensor>>()

  /** quantize(x), quantize(xᵀ). */
  async pack(x: Tensor, transposed: boolean, format: WeightFormat): Promise<QuantizedMatrix> {
    const shape = transposed ? [...x.shape].reverse() : x.shape
    const panelsOf = (given: Tensor): Tensor => quantize(transposed ? transpose(given) : given, format).panels
    return new QuantizedMatrix(shape, format, await this.#run(`${format} ${transposed}`, panelsOf, x))
  }

  /** packRows(x, …), whose numbers are those of the format already. */
  async packRows(x: Tensor, shape: readonly [number, number], format: WeightFormat): Promise<QuantizedMatrix> {
    const panelsOf = (given: Tensor): Tensor => packRows(given, shape, format).panels
    return new QuantizedMatrix(shape, format, await this.#run(`rows ${format} ${shape.join()}`, panelsOf, x))
  }

  async #run(key: string, panelsOf: (x: Tensor) => Tensor, x: Tensor): Promise<Tensor> {
    let program = this.#programs.get(key)
    if (!program) this.#programs.set(key, (program = compile((given: { x: Tensor }) => panelsOf(given.x))))
    return program.run({ x })
  }

  [Symbol.dispose](): void {
    for (const program of this.#programs.values()) program.dispose()
  }
}

/**
 * A weight of a file, packed for products, slab by slab: beside the result there is never more than a few megabytes.
 * All threads of the process share one copy of it.
 */
export async function packWeight(
  operation: string,
  files: ModelFiles,
  name: string,
  { inputsFirst }: Packable,
  format: WeightFormat,
  packer: Packer,
  options: ReadOptions,
): Promise<QuantizedMatrix> {
  const { shape, fileType } = files.tensors.get(name)!
  const [k, n] = (inputsFirst ? shape : [...shape].reverse()) as [number, number]
  const panels = panelsShape(operation, [k, n], format)
  // Panels are the same for every instruction set.
  const key = `${files.identity(name)} ${format} ${inputsFirst} ${k} ${n}`
  const shared = sharedMemory(key, panels, 'i32')
  if (shared) return new QuantizedMatrix([k, n], format, new Tensor(panels, 'i32', shared))
  const packed = allocate(operation, panels, 'i32')
  try {
    const exact = fileTypes[format] === fileType && bytesInRow[format](k) !== undefined
    if (files.isTransposed(name) === inputsFirst) await packBySlabs(packed)
    else {
      using whole = await files.read(name, options)
      using matrix = await packer.pack(whole, !inputsFirst, format)
      packed.data().set(matrix.panels.data())
    }
    packed.memory(operation).storage.share(key)
    return new QuantizedMatrix([k, n], format, packed)

    /** The file has a row for each column of the matrix. */
    async function packBySlabs(target: Tensor): Promise<void> {
      const step = leastCommonMultiple(panelColumns, files.rowMultiple(name))
      const slab = Math.min(n, Math.max(1, Math.floor(slabSize / Math.max(1, k) / step)) * step)
      const panelWords = sizeOf(panels.slice(1))
      // The bytes of rows that need no conversion come again and again into the same memory.
      const rowBytes = exact ? bytesInRow[format](k)! : fileType === 'F32' ? 4 * k : 0
      using scratch = allocate(operation, [Math.ceil((slab * rowBytes) / 4)], 'i32')
      for (let begin = 0; begin < n; begin += slab) {
        const end = Math.min(n, begin + slab)
        using matrix = await packSlab(begin, end, rowBytes, scratch)
        target.data().set(matrix.panels.data(), (begin / panelColumns) * panelWords)
        await setImmediate()
      }
    }

    async function packSlab(begin: number, end: number, rowBytes: number, scratch: Tensor): Promise<QuantizedMatrix> {
      const part = { ...options, rows: [begin, end] as const }
      const count = end - begin
      if (!rowBytes) {
        using rows = await files.readRows(name, part)
        return await packer.pack(rows, true, format)
      }
      const { buffer, byteOffset } = scratch.data()
      await files.readRowBytesInto(name, new Uint8Array(buffer, byteOffset, count * rowBytes), part)
      const memory = scratch.memory(operation)
      if (!exact) {
        using rows = new Tensor([count, k], 'f32', memory)
        return await packer.pack(rows, true, format)
      }
      using rows = new Tensor([Math.ceil((count * rowBytes) / 4)], 'i32', memory)
      return await packer.packRows(rows, [k, count], format)
    }
  } catch (error) {
    packed.dispose()
    throw error
  }
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b]
  while (y) [x, y] = [y, x % y]
  return (a / x) * b
}
