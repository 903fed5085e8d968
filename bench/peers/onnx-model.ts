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

/** Numbers of ONNX's element types. */
const elementTypes = { f32: 1, i8: 3 } as const
type ElementType = keyof typeof elementTypes

export interface Constant {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
  readonly data: Float32Array | Int8Array
}

export interface Node {
  readonly type: string
  readonly domain?: string
  readonly inputs: readonly string[]
  readonly output: string
}

export interface Model {
  readonly nodes: readonly Node[]
  readonly constants: readonly Constant[]
  /** f32. */
  readonly inputs: Readonly<Record<string, readonly number[]>>
  readonly outputs: Readonly<Record<string, readonly number[]>>
}

export function onnxModel({ nodes, constants, inputs, outputs }: Model): Buffer {
  const values = (field: number, named: Model['inputs']): Buffer[] =>
    Object.entries(named).map(([name, shape]) => {
      const dimensions = shape.map((size) => message(1, integer(1, size)))
      const type = message(2, message(1, integer(1, elementTypes.f32), message(2, ...dimensions)))
      return message(field, bytes(1, name), type)
    })
  const graph = message(
    7,
    ...nodes.map(({ type, domain = '', inputs: from, output }) =>
      message(1, ...from.map((name) => bytes(1, name)), bytes(2, output), bytes(4, type), bytes(7, domain)),
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
