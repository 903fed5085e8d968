/** The metadata of a GGUF file, version 2 or 3: just enough for files that are known to be whole. */
export function ggufMetadata(file: Buffer): Record<string, unknown> {
  let at = 8
  const take = <T>(bytes: number, read: (at: number) => T): T => {
    const value = read(at)
    at += bytes
    return value
  }
  const u32 = (): number => take(4, (i) => file.readUInt32LE(i))
  const u64 = (): number => take(8, (i) => Number(file.readBigUInt64LE(i)))
  const string = (): string => {
    const length = u64()
    return take(length, (i) => file.toString('utf8', i, i + length))
  }
  const readers: Record<number, () => unknown> = {
    0: () => take(1, (i) => file.readUInt8(i)),
    1: () => take(1, (i) => file.readInt8(i)),
    2: () => take(2, (i) => file.readUInt16LE(i)),
    3: () => take(2, (i) => file.readInt16LE(i)),
    4: u32,
    5: () => take(4, (i) => file.readInt32LE(i)),
    6: () => take(4, (i) => file.readFloatLE(i)),
    7: () => take(1, (i) => file[i] !== 0),
    8: string,
    9: () => {
      const type = u32()
      return Array.from({ length: u64() }, () => readers[type]!())
    },
    10: u64,
    11: u64,
    12: () => take(8, (i) => file.readDoubleLE(i)),
  }
  u64() // how many tensors
  const entries = u64()
  return Object.fromEntries(Array.from({ length: entries }, () => [string(), readers[u32()]!()]))
}
