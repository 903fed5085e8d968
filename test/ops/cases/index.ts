import type { Case } from '../case.ts'
import { elementwise } from './elementwise.ts'
import { matmul } from './matmul.ts'

/** THE cases, by family. */
export const families: Readonly<Record<string, readonly Case[]>> = { elementwise, matmul }
