import type { DType } from '../tensor/dtype.ts'
import { elementTypes, type FileType } from './file-types.ts'
import type { Convert } from './convert.ts'
import { q4_0, q4_1, q4K, q5_0, q5_1, q5K, q6K, q8_0 } from './gguf-blocks.ts'

const element = (name: string): FileType => elementTypes.get(name)!
const block = (name: string, blockSize: number, blockBytes: number, convert?: Convert): FileType => ({
  name,
  blockSize,
  blockBytes,
  dtype: convert && ('f32' satisfies DType),
  ...(convert && { convert }),
})

/** The types of ggml by their number in the file. Those without a conversion are only to be had as bytes. */
export const ggmlTypes: ReadonlyMap<number, FileType> = new Map([
  [0, element('F32')],
  [1, element('F16')],
  [2, block('Q4_0', 32, 18, q4_0)],
  [3, block('Q4_1', 32, 20, q4_1)],
  [6, block('Q5_0', 32, 22, q5_0)],
  [7, block('Q5_1', 32, 24, q5_1)],
  [8, block('Q8_0', 32, 34, q8_0)],
  [9, block('Q8_1', 32, 40)],
  [10, block('Q2_K', 256, 84)],
  [11, block('Q3_K', 256, 110)],
  [12, block('Q4_K', 256, 144, q4K)],
  [13, block('Q5_K', 256, 176, q5K)],
  [14, block('Q6_K', 256, 210, q6K)],
  [15, block('Q8_K', 256, 292)],
  [16, block('IQ2_XXS', 256, 66)],
  [17, block('IQ2_XS', 256, 74)],
  [18, block('IQ3_XXS', 256, 98)],
  [19, block('IQ1_S', 256, 50)],
  [20, block('IQ4_NL', 32, 18)],
  [21, block('IQ3_S', 256, 110)],
  [22, block('IQ2_S', 256, 82)],
  [23, block('IQ4_XS', 256, 136)],
  [24, element('I8')],
  [25, element('I16')],
  [26, element('I32')],
  [27, element('I64')],
  [28, element('F64')],
  [29, block('IQ1_M', 256, 56)],
  [30, element('BF16')],
  [34, block('TQ1_0', 256, 54)],
  [35, block('TQ2_0', 256, 66)],
  [39, block('MXFP4', 32, 17)],
])
