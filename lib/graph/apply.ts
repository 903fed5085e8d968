import { ExecutionError, TraceError } from '../errors.ts'
import { native } from '../native/load.ts'
import type { NativeStorage } from '../native/native.ts'
import { allocateMemory, Tensor, withMemory } from '../tensor/tensor.ts'
import { encode } from './encode.ts'
import { schedule } from './graph.ts'
import { lower, type Buffer } from './lower.ts'
import type { Attributes, OpDefinition } from './op.ts'
import { activeTrace, Trace, TracedTensor } from './trace.ts'

/**
 * Calls an operation: while a function is traced, records a node and gives symbolic tensors; otherwise runs it now, on
 * this thread. `wanted` names the outputs that are needed; traced code finds out by itself.
 */
export function apply(
  definition: OpDefinition,
  tensors: readonly (Tensor | undefined)[],
  attributes: Attributes = {},
  wanted: readonly number[] = [0],
): Tensor[] {
  const trace = activeTrace()
  if (trace) return trace.record(definition, tensors, attributes)
  if (tensors.some((t) => t instanceof TracedTensor))
    throw new TraceError(
      `${definition.name}: a tensor of a traced function was used outside of it; use it inside the function given to compile()`,
    )
  return runNow(definition, tensors, attributes, wanted)
}

function runNow(
  definition: OpDefinition,
  tensors: readonly (Tensor | undefined)[],
  attributes: Attributes,
  wanted: readonly number[],
): Tensor[] {
  const trace = new Trace()
  const results = trace.record(definition, tensors, attributes)
  const updated = (index: number): Tensor | undefined => {
    const { updates } = definition.outputs[Math.min(index, definition.outputs.length - 1)]!
    return updates === undefined ? undefined : tensors[definition.operands.findIndex(({ name }) => name === updates)]
  }
  const made = wanted.filter((index) => !updated(index))
  const lowered = lower(schedule({ nodes: trace.nodes, outputs: made.map((index) => results[index]!.value) }), [])
  const slots = new Map<Buffer, number>()
  const bindings: NativeStorage[] = []
  const outputs = new Map<number, Tensor>()
  const temporaries: NativeStorage[] = []
  for (const buffer of lowered.buffers) {
    if (buffer.first < 0) continue
    const { place } = buffer
    if (place !== 'arena' && 'captured' in place) bindings.push(place.captured.memory(definition.name).storage)
    else if (place !== 'arena' && 'output' in place) {
      const index = made[place.output]!
      const { shape, dtype } = results[index]!
      const memory = allocateMemory(definition.name, shape, dtype)
      outputs.set(index, new Tensor(shape, dtype, memory))
      bindings.push(memory.storage)
    } else {
      const storage = withMemory(definition.name, buffer.bytes, () => new native.Storage(buffer.bytes))
      temporaries.push(storage)
      bindings.push(storage)
    }
    // There is no arena here: what would lie in it is bound like the rest.
    buffer.place = { input: bindings.length }
    slots.set(buffer, bindings.length)
  }
  try {
    native.execute(encode(lowered, { arenaBytes: 0, offsets: new Map() }, slots), bindings)
  } catch (cause) {
    for (const tensor of outputs.values()) tensor.dispose()
    throw new ExecutionError((cause as Error).message, { cause })
  } finally {
    for (const storage of temporaries) storage.dispose()
  }
  const all: Tensor[] = []
  for (const index of wanted) all[index] = updated(index) ?? outputs.get(index)!
  return all
}
