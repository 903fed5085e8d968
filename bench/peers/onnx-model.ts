/** Just enough of ONNX's protocol buffers to write a model of a few nodes with constant weights. */

const varint = (value: number): number[] => {
  const bytes = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return [...bytes, value]
}
const integer = (field: number, value: number): Buffer => Buffer.from([...varint(8 * field), ...varint(value)])
const bytes = (field: number, value: Buffer | string): Buffer => {
  const data = Buffer.from(value as string)
  return Buffer.concat([Buffer.from([...varint(8 * field + 2), ...varint(data.length)]), data])
}
const message = (field: number, ...parts: readonly Buffer[]): Buffer => bytes(field, Buffer.concat(parts))

/** Of type FLOAT (1), INT (2) or INTS (7). Integers may be negative. */
function attribute(name: string, value: number | readonly number[]): Buffer {
  if (typeof value !== 'number')
    return message(5, bytes(1, name), ...value.map((one) => signed(8, one)), integer(20, 7))
  if (Number.isInteger(value)) return message(5, bytes(1, name), signed(3, value), integer(20, 2))
  return message(
    5,
    bytes(1, name),
    Buffer.from([8 * 2 + 5]),
    Buffer.from(Float32Array.of(value).buffer),
    integer(20, 1),
  )
}

/** Two's complement of 64 bits where it is below 0. */
function signed(field: number, value: number): Buffer {
  if (value >= 0) return integer(field, value)
  const data: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 127n; rest >>= 7n) data.push(Number(rest & 127n) | 128)
  return Buffer.from([...varint(8 * field), ...data, Number(rest)])
}

/** Numbers of ONNX's element types. */
const elementTypes = { f32: 1, i8: 3, i64: 7 } as const
type ElementType = keyof typeof elementTypes

export interface Constant {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly data: Float32Array | Int8Array | BigInt64Array
}

export interface Node {
  readonly type: string
  readonly domain?: string
  readonly inputs: readonly string[]
  readonly output: string
  /** A number that is whole is an integer. */
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>
}

/** A name stands for any size. */
export type Dimensions = readonly (number | string)[]

export interface Model {
  readonly nodes: readonly Node[]
  readonly constants: readonly Constant[]
  /** f32 unless `indices` names them, which are i64. */
  readonly inputs: Readonly<Record<string, Dimensions>>
  readonly outputs: Readonly<Record<string, Dimensions>>
  readonly indices?: readonly string[]
}

export function onnxModel({ nodes, constants, inputs, outputs, indices = [] }: Model): Buffer {
  const values = (field: number, named: Model['inputs']): Buffer[] =>
    Object.entries(named).map(([name, shape]) => {
      const dimensions = shape.map((size) => message(1, typeof size === 'number' ? integer(1, size) : bytes(2, size)))
      const element = elementTypes[indices.includes(name) ? 'i64' : 'f32']
      const type = message(2, message(1, integer(1, element), message(2, ...dimensions)))
      return message(field, bytes(1, name), type)
    })
  const graph = message(
    7,
    ...nodes.map(({ type, domain = '', inputs: from, output, attributes = {} }) =>
      message(
        1,
        ...from.map((name) => bytes(1, name)),
        bytes(2, output),
        bytes(4, type),
        ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
        bytes(7, domain),
      ),
    ),
    bytes(2, 'graph'),
    ...constants.map(({ name, type, shape, data }) =>
      message(
        5,
        ...shape.map((size) => integer(1, size)),
        integer(2, elementTypes[type]),
        bytes(8, name),
        bytes(9, Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
      ),
    ),
    ...values(11, inputs),
    ...values(12, outputs),
  )
  const opset = (domain: string, version: number): Buffer => message(8, bytes(1, domain), integer(2, version))
  return Buffer.concat([integer(1, 8), graph, opset('', 17), opset('com.microsoft', 1)])
}
