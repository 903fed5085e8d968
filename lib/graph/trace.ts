import { DTypeError, ShapeError, TraceError } from '../errors.ts'
import { Tensor } from '../tensor/tensor.ts'
import type { DType } from '../tensor/dtype.ts'
import { checkShape, formatShape, type Shape } from '../tensor/shape.ts'
import type { Attributes, OpDefinition, TensorType } from './op.ts'

/** A value of the graph: an output of a node, or something that exists before the program runs. */
export interface Value extends TensorType {
  /** undefined: an input or a captured tensor. */
  readonly node: Node | undefined
  readonly index: number
  /** dims[d] shrinks by rowFactors[d] for each row that a run has fewer than the capacity. */
  readonly rowFactors: readonly number[]
  /** The concrete tensor that was captured from outside the traced function. */
  readonly captured?: Tensor
}

export interface Node {
  readonly definition: OpDefinition
  readonly inputs: readonly (Value | undefined)[]
  readonly attributes: Attributes
  readonly outputs: readonly Value[]
}

/** A tensor inside a traced function: a shape without data. */
export class TracedTensor<D extends DType = DType> extends Tensor<D> {
  readonly trace: Trace
  readonly value: Value

  constructor(trace: Trace, value: Value) {
    super(value.shape, value.dtype as D)
    this.trace = trace
    this.value = value
  }
  override get isTraced(): boolean {
    return true
  }
  override memory(operation: string): never {
    throw new TraceError(
      `${operation}: this tensor ${formatShape(this.shape)} has no data while a function is traced; return it from the function, and read it from what run() gives`,
    )
  }
  override dispose(): void {}
}

/** The shape of a tensor as `reshape` takes it: the dimension that follows the number of rows is −1. */
export const openShape = (tensor: Tensor): Shape =>
  tensor instanceof TracedTensor
    ? tensor.shape.map((d, axis) => (tensor.value.rowFactors[axis] === 0 ? d : -1))
    : tensor.shape

/** The recording of one call of a function: nodes in the order in which they were made. */
export class Trace {
  readonly nodes: Node[] = []
  /** The value that a captured tensor has now: operations that update it in place make a new one. */
  readonly captured = new Map<Tensor, Value>()

  input(type: TensorType, dynamicRows: boolean): TracedTensor {
    const rowFactors = type.shape.map((_, d) => (dynamicRows && d === 0 ? 1 : 0))
    return new TracedTensor(this, { ...type, node: undefined, index: 0, rowFactors })
  }

  valueOf(operation: string, tensor: Tensor): Value {
    if (tensor instanceof TracedTensor) {
      if (tensor.trace !== this)
        throw new TraceError(
          `${operation}: a tensor of another compile() call was used; pass it as an input of this one`,
        )
      return tensor.value
    }
    let value = this.captured.get(tensor)
    if (!value) {
      tensor.memory(operation)
      value = {
        shape: tensor.shape,
        dtype: tensor.dtype,
        node: undefined,
        index: 0,
        rowFactors: tensor.shape.map(() => 0),
        captured: tensor,
      }
      this.captured.set(tensor, value)
    }
    return value
  }

  record(definition: OpDefinition, tensors: readonly (Tensor | undefined)[], attributes: Attributes): TracedTensor[] {
    const inputs = tensors.map((t) => t && this.valueOf(definition.name, t))
    const node = makeNode(definition, inputs, attributes)
    const { outputs } = node
    this.nodes.push(node)
    definition.outputs.forEach(({ updates }, index) => {
      const operand = updates === undefined ? -1 : definition.operands.findIndex(({ name }) => name === updates)
      const target = tensors[operand]
      if (target && !(target instanceof TracedTensor)) this.captured.set(target, outputs[index]!)
    })
    return outputs.map((value) => new TracedTensor(this, value))
  }
}

let active: Trace | undefined

export const activeTrace = (): Trace | undefined => active

/** Runs `body` with `trace` recording the operations that it calls. */
export function withTrace<T>(trace: Trace, body: () => T): T {
  const outer = active
  active = trace
  try {
    return body()
  } finally {
    active = outer
  }
}

/** A node with outputs as the definition's shape rule says; throws for operands that it does not take. */
export function makeNode(
  definition: OpDefinition,
  inputs: readonly (Value | undefined)[],
  attributes: Attributes,
): Node & { readonly outputs: readonly Value[] } {
  const types = inferTypes(definition, inputs, attributes)
  const factors = inferRowFactors(definition, inputs, attributes, types)
  const outputs: Value[] = []
  const node: Node = { definition, inputs, attributes, outputs }
  types.forEach((type, index) => outputs.push({ ...type, node, index, rowFactors: factors[index]! }))
  return node
}

/** Checks operands against the definition, then asks its shape rule. */
function inferTypes(
  definition: OpDefinition,
  inputs: readonly (TensorType | undefined)[],
  attributes: Attributes,
): TensorType[] {
  let float: TensorType | undefined
  inputs.forEach((input, i) => {
    const spec = definition.operands[Math.min(i, definition.operands.length - 1)]!
    if (!input) {
      if (!spec.optional) throw new ShapeError(`${definition.name}: operand ${spec.name} is missing`)
      return
    }
    if (spec.kind === 'index' && input.dtype !== 'i32')
      throw new DTypeError(
        `${definition.name}: ${spec.name} should be i32, got ${input.dtype}; make it with tensor(…, { dtype: 'i32' })`,
      )
    if (spec.kind !== 'float') return
    if (input.dtype !== 'f32' && input.dtype !== 'f64')
      throw new DTypeError(
        `${definition.name}: ${spec.name} should be f32 or f64, got ${input.dtype}; convert it with cast('f32')`,
      )
    float ??= input
    if (float.dtype !== input.dtype)
      throw new DTypeError(
        `${definition.name}: operands should have one dtype, got ${float.dtype} and ${input.dtype} (${spec.name}); convert one with cast()`,
      )
  })
  const types = definition.infer(inputs, attributes)
  for (const { shape } of types) checkShape(definition.name, shape)
  return types
}

/** How the outputs' dimensions follow the number of rows: the shape rule is asked again with one row fewer. */
function inferRowFactors(
  definition: OpDefinition,
  inputs: readonly (Value | undefined)[],
  attributes: Attributes,
  types: TensorType[],
): Shape[] {
  if (!inputs.some((input) => input?.rowFactors.some((f) => f !== 0)))
    return types.map(({ shape }) => shape.map(() => 0))
  const fewer = inputs.map(
    (input) => input && { dtype: input.dtype, shape: input.shape.map((d, i) => d - input.rowFactors[i]!) },
  )
  let smaller: TensorType[]
  try {
    smaller = definition.infer(fewer, attributes)
  } catch (cause) {
    throw new TraceError(
      `${definition.name}: the shape is fixed although the number of rows is not; use -1 in reshape instead of the number of rows (${(cause as Error).message})`,
      { cause },
    )
  }
  return types.map(({ shape }, i) => shape.map((d, axis) => d - smaller[i]!.shape[axis]!))
}
