import { FileError } from '../errors.ts'

/** The values of each field of a protobuf message, by its number, in order: numbers for 32 bits and varints, else bytes. */
export type ProtobufFields = ReadonlyMap<number, readonly (number | Uint8Array)[]>

/** One message (https://protobuf.dev/programming-guides/encoding). Throws FileError; `where` begins its message. */
export function readProtobuf(bytes: Uint8Array, where: string): ProtobufFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fields = new Map<number, (number | Uint8Array)[]>()
  let at = 0
  const damaged = (): FileError =>
    new FileError(`${where}: not a protobuf message: damaged at byte ${at} of ${bytes.length}`)
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]
      if (byte === undefined || scale > 2 ** 63) throw damaged()
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const take = (length: number): number => {
    if (!(length <= bytes.length - at)) throw damaged()
    at += length
    return at - length
  }
  while (at < bytes.length) {
    const tag = varint()
    const number = Math.floor(tag / 8)
    const kind = tag % 8
    let value: number | Uint8Array
    if (kind === 0) value = varint()
    else if (kind === 1) value = view.getFloat64(take(8), true)
    else if (kind === 5) value = view.getFloat32(take(4), true)
    else if (kind === 2) {
      const length = varint()
      value = bytes.subarray(take(length), at)
    } else throw damaged()
    if (!fields.has(number)) fields.set(number, [])
    fields.get(number)!.push(value)
  }
  return fields
}
