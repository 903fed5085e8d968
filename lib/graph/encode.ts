import { TraceError } from '../errors.ts'
import { native } from '../native/load.ts'
import { bytesPerElement } from '../tensor/dtype.ts'
import type { Buffer, Instruction, Lowered, Operand } from './lower.ts'
import type { Plan } from './plan.ts'

let numbers: { ops: Map<string, number>; dtypes: Map<string, number> } | undefined

const index = (names: readonly string[]): Map<string, number> => new Map(names.map((name, i) => [name, i]))

/** The addon's numbers for instructions and dtypes, asked once: they are written down nowhere else. */
function numbering(): { ops: Map<string, number>; dtypes: Map<string, number> } {
  numbers ??= { ops: index(native.operations.map(({ name }) => name)), dtypes: index(native.dtypes) }
  return numbers
}

/** Writes instructions in the form that lib/native/native.ts describes. `slots` numbers the buffers outside the arena. */
export function encode(lowered: Lowered, plan: Plan, slots: ReadonlyMap<Buffer, number>): Float64Array {
  const { ops, dtypes } = numbering()
  const words: number[] = []
  const operand = ({ buffer, dtype, view, rowFactors }: Operand): void => {
    const slot = buffer.place === 'arena' ? 0 : slots.get(buffer)!
    const byteOffset = (plan.offsets.get(buffer) ?? 0) + view.offset * bytesPerElement[dtype]
    words.push(slot, dtypes.get(dtype)!, byteOffset, view.shape.length, ...view.shape, ...view.strides, ...rowFactors)
  }
  const instruction = ({ name, attributes, operands }: Instruction): void => {
    const op = ops.get(name)
    if (op === undefined)
      throw new TraceError(`compile: the addon has no instruction ${name}; rebuild it with npm run build`)
    words.push(op, attributes.length, operands.length, ...attributes)
    for (const o of operands) o ? operand(o) : words.push(-1)
  }
  lowered.instructions.forEach(instruction)
  return Float64Array.from(words)
}
